#include "daemon/block_sizes.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace hearsay::daemon {
namespace {

constexpr double kBusyShare = 1.0 / 150;  // Below 1 % with room for more.
constexpr double kMargin = 2;             // Of what the disk took lately.
constexpr double kFollow = 0.25;

double Seconds(BlockSizes::Duration time) {
  return std::max(std::chrono::duration<double>(time).count(), 0.0);
}

}  // namespace

void BlockSizes::OnSteps(std::uint64_t steps, Duration time) {
  if (steps == 0) return;
  constexpr double kLeast = 1e-9;  // Not 0, which would say: not known.
  const double step =
      std::max(Seconds(time) / static_cast<double>(steps), kLeast);
  step_ = step_ == 0 ? step : std::min(step, step_ + kFollow * (step - step_));
}

void BlockSizes::OnReserved(Duration took, Duration busy) {
  took_ = std::max(Seconds(took), took_ + kFollow * (Seconds(took) - took_));
  busy_before_ = std::exchange(busy_, Seconds(busy));
}

BlockSizes::Plan BlockSizes::For(std::uint64_t left) const {
  if (step_ == 0) return {};
  const std::uint64_t most = std::max(kMostLost, left / kLossShare);
  const auto steps_in = [&](double seconds) {
    // Compared before it is an integer: it may be beyond any.
    const double steps = std::ceil(seconds / step_);
    return steps < static_cast<double>(most) ? static_cast<std::uint64_t>(steps)
                                             : most;
  };
  Plan plan;
  plan.ahead =
      std::clamp<std::uint64_t>(steps_in(kMargin * took_), 1, most / 2);
  plan.block = std::max({kFirstBlock, plan.ahead,
                         steps_in(std::min(busy_, busy_before_) / kBusyShare)});
  plan.block = std::min(plan.block, most - plan.ahead);
  return plan;
}

}  // namespace hearsay::daemon
