#include "daemon/balancer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace hearsay::daemon {

Balancer::Balancer(const BalancerOptions& options, Meetings& meetings,
                   const LiveWeights& weights, PrivateGradient& gradient,
                   const Budget& budget, std::function<void(std::string)> tell)
    : options_(options),
      meetings_(meetings),
      weights_(weights),
      gradient_(gradient),
      budget_(budget),
      tell_(std::move(tell)),
      copy_(weights.size()) {}

bool Balancer::OnGradient(std::span<float> gradient) {
  return meetings_.OnGradient(gradient);
}

// Of steps as this node makes them, slowed or paced.
double Balancer::Speed() {
  weights_.Snapshot(copy_.span());
  const double lot =
      gradient_.sample_rate() * static_cast<double>(gradient_.public_size());
  const double step =
      std::max(lot / gradient_.MeasureSpeed(copy_.span()),
               std::chrono::duration<double>(options_.min_step_time).count());
  return lot / (step * options_.throttle);
}

bool Balancer::OnStep(std::uint64_t step) {
  if (!meetings_.OnStep(step)) return false;
  if (step % options_.every_steps != 0 || step >= options_.steps) return true;
  const double speed = Speed();
  const auto speeds = meetings_.OneOfEach(speed);
  if (!speeds) return false;
  const auto rates = mixing::Balance(options_.terms, speeds->values);
  const double mine = rates.sample[speeds->self];
  gradient_.ChangeRates(mine, rates.divide);
  tell_(fmt::format(
      "from step {} on this node samples at {:.6g}, {:.1f} % of the lot of {} "
      "members ({:.0f} records a second); epsilon is {:.4f}, and {:.4f} after "
      "the steps that are left at this rate",
      step, mine,
      100 * mine / (rates.divide * static_cast<double>(rates.sample.size())),
      rates.sample.size(), speed, budget_.status().epsilon,
      budget_.EpsilonAfter(options_.steps - step)));
  return true;
}

}  // namespace hearsay::daemon
