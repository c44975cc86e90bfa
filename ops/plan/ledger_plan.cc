#include "ops/plan/ledger_plan.h"

#include <algorithm>

#include "dp/rdp_filter.h"

namespace hearsay::ops {
namespace {

std::uint64_t StepsThatFit(const dp::LedgerContents& ledger,
                           const dp::Releases& planned,
                           dp::Accountant accountant, double delta,
                           double target, bool mixed) {
  const auto fit =
      dp::StepsWithin(accountant, ledger.charged, planned, delta, target);
  if (!mixed) return fit;
  const auto first =
      std::find_if_not(ledger.records.begin(), ledger.records.end(),
                       dp::IsStatistics);  // There is one, of other terms.
  dp::RdpFilter filter(first->releases, delta, target);
  for (const auto& releases : ledger.charged) filter.Count(releases);
  return std::min(
      fit, filter.StepsThatPass({.sample_rate = planned.sample_rate,
                                 .noise_multiplier = planned.noise_multiplier,
                                 .steps = fit}));
}

}  // namespace

LedgerPlan PlanAfter(const dp::LedgerContents& ledger,
                     const dp::Releases& planned, dp::Accountant accountant,
                     double delta, std::optional<double> target_epsilon) {
  const auto alike = [](const dp::Releases& a, const dp::Releases& b) {
    return a.sample_rate == b.sample_rate &&
           a.noise_multiplier == b.noise_multiplier;
  };
  const bool mixed = std::any_of(
      ledger.charged.begin(), ledger.charged.end(),
      [&](const dp::Releases& releases) {
        return !alike(releases, planned) &&
               std::none_of(ledger.records.begin(), ledger.records.end(),
                            [&](const dp::LedgerRecord& record) {
                              return dp::IsStatistics(record) &&
                                     alike(record.releases, releases);
                            });
      });
  LedgerPlan plan;
  plan.accountant = mixed || ledger.exact ? dp::Accountant::kRdp : accountant;
  plan.steps_charged = ledger.charged_steps;
  plan.epsilon_spent = dp::EpsilonOf(plan.accountant, ledger.charged, delta);
  plan.steps_that_fit = target_epsilon
                            ? StepsThatFit(ledger, planned, plan.accountant,
                                           delta, *target_epsilon, mixed)
                            : planned.steps;
  auto phases = ledger.charged;
  phases.push_back(planned);
  phases.back().steps = plan.steps_that_fit;
  plan.epsilon_after = dp::EpsilonOf(plan.accountant, phases, delta);
  return plan;
}

}  // namespace hearsay::ops
