#include "daemon/spending.h"

#include <algorithm>

namespace hearsay::daemon {
namespace {

constexpr int kEvaluateShare = 100;  // Of the time: 1 %.

bool Alike(const dp::Releases& a, double sample_rate, double noise) {
  return a.sample_rate == sample_rate && a.noise_multiplier == noise;
}

// And statistics.
bool HoldsOnly(const dp::Ledger& ledger, const BudgetTerms& terms) {
  const auto charged = ledger.charged();
  const auto& statistics = ledger.statistics();
  return std::all_of(
      charged.begin(), charged.end(), [&](const dp::Releases& releases) {
        return Alike(releases, terms.sample_rate, terms.noise_multiplier) ||
               std::any_of(statistics.begin(), statistics.end(),
                           [&](const dp::Releases& one) {
                             return Alike(releases, one.sample_rate,
                                          one.noise_multiplier);
                           });
      });
}

}  // namespace

Spending::Spending(const BudgetTerms& terms, const dp::Ledger& ledger)
    : terms_(terms),
      accountant_(terms.accountant),
      evaluated_at_(Clock::now()),
      charged_then_(ledger.charged_steps()) {
  if (ledger.exact()) accountant_ = dp::Accountant::kRdp;
  if (HoldsOnly(ledger, terms)) return;
  accountant_ = dp::Accountant::kRdp;
  if (!terms.target_epsilon) return;
  filter_.emplace(*ledger.first(), terms.delta, *terms.target_epsilon);
}

dp::Releases Spending::Steps(std::uint64_t steps) const {
  return {terms_.sample_rate, terms_.noise_multiplier, steps};
}

std::uint64_t Spending::StepsThatFit(const dp::Ledger& ledger,
                                     std::uint64_t wanted,
                                     std::optional<double> target) {
  if (!target) return wanted;
  if (accountant_ == dp::Accountant::kRdp) {
    const std::uint64_t fit =
        ledger.StepsThatFit(Steps(wanted), terms_.delta, *target);
    if (!filter_) return fit;
    dp::RdpFilter filter = *filter_;
    for (const dp::Releases& releases : ledger.charged())
      filter.Count(releases);
    return std::min(fit, filter.StepsThatPass(Steps(fit)));
  }
  const std::uint64_t charged = ledger.charged_steps();
  const bool known =
      limit_target_ == target && (!more_fit_ || charged + wanted <= limit_);
  if (!known) {
    const dp::Releases spent = Steps(charged);
    const std::uint64_t fit = dp::StepsWithin(
        accountant_, {&spent, 1}, Steps(wanted), terms_.delta, *target);
    limit_target_ = target;
    limit_ = charged + fit;
    more_fit_ = fit == wanted;
  }
  return limit_ > charged ? std::min(wanted, limit_ - charged) : 0;
}

double Spending::Epsilon(const dp::Ledger& ledger) {
  if (accountant_ == dp::Accountant::kRdp)
    return ledger.Epsilon(terms_.delta).epsilon;
  Evaluate(ledger.charged_steps());
  charged_then_ = ledger.charged_steps();
  return evaluated_;
}

double Spending::EpsilonAhead(const dp::Ledger& ledger, std::uint64_t more) {
  if (accountant_ == dp::Accountant::kRdp) return Epsilon(ledger);
  const std::uint64_t charged = ledger.charged_steps();
  if (charged <= evaluated_steps_) return evaluated_;
  // As many steps as are made, at the pace since the last evaluation, until
  // another one is worth its time.
  const std::chrono::duration<double> passed = Clock::now() - evaluated_at_;
  const double pace = static_cast<double>(charged - charged_then_) /
                      std::max(passed.count(), 1e-6);
  const double ahead =
      pace * kEvaluateShare * std::chrono::duration<double>(took_).count();
  Evaluate(charged + (ahead < static_cast<double>(more)
                          ? static_cast<std::uint64_t>(ahead)
                          : more));
  charged_then_ = charged;
  return evaluated_;
}

void Spending::Evaluate(std::uint64_t steps) {
  if (steps == evaluated_steps_) return;
  const auto before = Clock::now();
  const dp::Releases releases = Steps(steps);
  evaluated_ = dp::EpsilonOf(accountant_, {&releases, 1}, terms_.delta);
  evaluated_steps_ = steps;
  evaluated_at_ = Clock::now();
  took_ = evaluated_at_ - before;
}

}  // namespace hearsay::daemon
