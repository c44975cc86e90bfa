// Load balance for trainers in step: who is slower samples less, so that nobody
// waits. Gossip needs none, as nobody waits there.
//
// The members' sums are added and divided by the lot of all, which weights each
// member's mean by its share of the lot. Each member's sample rate, and so what
// its steps cost of its budget, changes from phase to phase; the noise of its
// sum does not. Pure; every member computes the same from the same speeds.
// Source: Ye et al. 2020 (DBS), "fixed_global" here; both: decision 0024.
//
// Threads: any.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace hearsay::mixing {

enum class BalancePolicy {
  kOff,
  // The lot of all stays what it is without balance: the fast sample more.
  kFixedGlobal,
  // The fastest samples what it does without balance: nobody samples more, and
  // the lot of all is smaller.
  kFixedLocal,
};
std::optional<BalancePolicy> ParseBalance(std::string_view word);
const char* Word(BalancePolicy policy);

struct BalanceTerms {
  BalancePolicy policy = BalancePolicy::kOff;
  double sample_rate = 0;  // of each member, without balance
  double most = 2;         // times it, of kFixedGlobal
};

// A rate below this share of the configured one would not be measured well.
inline constexpr double kLeastShare = 1.0 / 64;

// A phase: the sample rate of each member, and what all divide their sums by
// before the mean over members is taken, as a sample rate.
struct BalancedRates {
  std::vector<double> sample;
  double divide = 0;
};

// `speeds`: records a second of each member, above 0 and finite; where one is
// not, nobody's speed is believed, and all sample as configured.
BalancedRates Balance(const BalanceTerms& terms,
                      const std::vector<double>& speeds);

}  // namespace hearsay::mixing
