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
  dp::RdpFilter filter(ledger.records.front().releases, delta, target);
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
  const bool mixed = std::any_of(
      ledger.charged.begin(), ledger.charged.end(),
      [&](const dp::Releases& releases) {
        return releases.sample_rate != planned.sample_rate ||
               releases.noise_multiplier != planned.noise_multiplier;
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
