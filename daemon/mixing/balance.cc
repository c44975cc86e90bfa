#include "daemon/mixing/balance.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

namespace hearsay::mixing {

namespace {

constexpr std::pair<std::string_view, BalancePolicy> kWords[] = {
    {"off", BalancePolicy::kOff},
    {"fixed_global", BalancePolicy::kFixedGlobal},
    {"fixed_local", BalancePolicy::kFixedLocal},
};

bool Believable(const std::vector<double>& speeds) {
  return std::all_of(speeds.begin(), speeds.end(), [](double speed) {
    return std::isfinite(speed) && speed > 0;
  });
}

// The level at which what is proportional to `speeds`, held within [least,
// most], sums to `total`: the sum grows with the level, so by bisection.
std::vector<double> Within(const std::vector<double>& speeds, double total,
                           double least, double most) {
  std::vector<double> rates(speeds.size());
  const auto sum_at = [&](double level) {
    std::transform(
        speeds.begin(), speeds.end(), rates.begin(),
        [=](double speed) { return std::clamp(level * speed, least, most); });
    return std::accumulate(rates.begin(), rates.end(), 0.0);
  };
  double low = 0;
  double high = most / *std::min_element(speeds.begin(), speeds.end());
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (sum_at(middle) < total ? low : high) = middle;
  }
  sum_at(high);
  return rates;
}

}  // namespace

std::optional<BalancePolicy> ParseBalance(std::string_view word) {
  for (const auto& [name, policy] : kWords)
    if (name == word) return policy;
  return std::nullopt;
}

const char* Word(BalancePolicy policy) {
  for (const auto& [name, known] : kWords)
    if (known == policy) return name.data();
  return "";
}

BalancedRates Balance(const BalanceTerms& terms,
                      const std::vector<double>& speeds) {
  const double rate = terms.sample_rate;
  BalancedRates balanced{std::vector<double>(speeds.size(), rate), rate};
  if (terms.policy == BalancePolicy::kOff || speeds.empty() ||
      !Believable(speeds))
    return balanced;
  const double least = kLeastShare * rate;
  const auto n = static_cast<double>(speeds.size());
  auto& sample = balanced.sample;
  if (terms.policy == BalancePolicy::kFixedGlobal) {
    sample = Within(speeds, n * rate, least, std::min(terms.most * rate, 1.0));
    return balanced;
  }
  const double fastest = *std::max_element(speeds.begin(), speeds.end());
  std::transform(
      speeds.begin(), speeds.end(), sample.begin(),
      [=](double speed) { return std::max(least, rate * speed / fastest); });
  balanced.divide = std::accumulate(sample.begin(), sample.end(), 0.0) / n;
  return balanced;
}

}  // namespace hearsay::mixing
