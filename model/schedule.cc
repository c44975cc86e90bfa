#include "model/schedule.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace hearsay::model {

// Written so that NaN fails.
void Validate(const Schedule& schedule) {
  using Kind = Schedule::Kind;
  if (schedule.kind == Kind::kCosine) {
    if (!(schedule.floor >= 0 && schedule.floor <= 1))
      throw std::invalid_argument(fmt::format(
          "rate_floor must be from 0 to 1, not {}", schedule.floor));
    if (schedule.steps <= schedule.warmup_steps)
      throw std::invalid_argument(
          fmt::format("warmup_steps must be below the run's {} steps, not {}",
                      schedule.steps, schedule.warmup_steps));
  }
  if (schedule.kind == Kind::kStep) {
    if (schedule.every == 0)
      throw std::invalid_argument("decay_every must be 1 or more steps, not 0");
    if (!(schedule.factor > 0 && schedule.factor <= 1))
      throw std::invalid_argument(
          fmt::format("decay_factor must be above 0 and at most 1, not {}",
                      schedule.factor));
  }
}

double RateFactor(const Schedule& schedule, std::uint64_t step) {
  if (step < schedule.warmup_steps)
    return static_cast<double>(step + 1) /
           static_cast<double>(schedule.warmup_steps);
  step -= schedule.warmup_steps;
  switch (schedule.kind) {
    case Schedule::Kind::kConstant:
      return 1;
    case Schedule::Kind::kCosine: {
      const auto all =
          static_cast<double>(schedule.steps - schedule.warmup_steps);
      // A run that was made longer stays at the floor: the cosine would rise.
      const double done = std::min(static_cast<double>(step) / all, 1.0);
      return schedule.floor +
             (1 - schedule.floor) * (1 + std::cos(std::numbers::pi * done)) / 2;
    }
    case Schedule::Kind::kStep:
      return std::pow(schedule.factor,
                      static_cast<double>(step / schedule.every));
  }
  return 1;
}

}  // namespace hearsay::model
