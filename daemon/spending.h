// What a ledger's steps cost and how many more fit, by the configured
// accountant, without a price for each step.
//
// The Renyi accountant is cheap enough to be asked anew for every block. An
// evaluation of a privacy loss distribution takes some 30 ms, so the number of
// steps that fit is found once, at the start, and epsilon is evaluated a little
// ahead: what is shown is that of a few more steps than were charged, so never
// too small, and takes less than 1 % of the time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "dp/accountant.h"
#include "dp/ledger.h"
#include "dp/rdp_filter.h"

namespace hearsay::daemon {

struct BudgetTerms {
  double sample_rate = 0;  // Effective: what the sampler really uses.
  double noise_multiplier = 0;
  double delta = 0;
  std::optional<double> target_epsilon;
  dp::Accountant accountant = dp::Accountant::kRdp;
  dp::LedgerNoise noise = dp::LedgerNoise::kGaussian;
};

// Threads: one at a time. Throws: std::invalid_argument (a delta that the
// accountant refuses).
class Spending {
 public:
  // A ledger that holds steps of other terms was continued with parameters
  // that somebody chose after seeing what it paid for (statistics of the data,
  // from which nobody chooses a rate or a noise, are added up alone). Then
  // divergences count, whatever the accountant, and an RdpFilter has to let
  // steps pass, too. They count as well where it holds steps of exact noise.
  Spending(const BudgetTerms& terms, const dp::Ledger& ledger);

  // The one that counts.
  dp::Accountant accountant() const { return accountant_; }

  // How many of `wanted` steps fit after the ledger's within `target`.
  std::uint64_t StepsThatFit(const dp::Ledger& ledger, std::uint64_t wanted,
                             std::optional<double> target);

  // Of everything in the ledger: exactly, or of up to `more` further steps.
  double Epsilon(const dp::Ledger& ledger);
  double EpsilonAhead(const dp::Ledger& ledger, std::uint64_t more);

 private:
  using Clock = std::chrono::steady_clock;
  dp::Releases Steps(std::uint64_t steps) const;
  void Evaluate(std::uint64_t steps);

  BudgetTerms terms_;
  dp::Accountant accountant_;
  std::optional<dp::RdpFilter> filter_;  // That has counted nothing yet.
  // kPld: all steps that fit within `limit_target_`, or as many as were wanted.
  std::optional<double> limit_target_;
  std::uint64_t limit_ = 0;
  bool more_fit_ = false;
  // kPld: the last evaluation, when it was and what it took.
  std::uint64_t evaluated_steps_ = 0;
  double evaluated_ = 0;
  Clock::time_point evaluated_at_;
  std::uint64_t charged_then_ = 0;
  Clock::duration took_{0};
};

}  // namespace hearsay::daemon
