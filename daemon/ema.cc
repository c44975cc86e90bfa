#include "daemon/ema.h"

#include <cmath>

namespace hearsay::daemon {

void Ema::Follow(std::span<const float> weights) {
  const std::uint64_t steps = steps_ + 1;
  if (steps == 1) {
    average_.Assign(weights);
  } else {
    const double all =
        -std::expm1(static_cast<double>(steps) * std::log(decay_));
    average_.Pull(static_cast<float>((1 - decay_) / all), weights);
  }
  steps_ = steps;
}

void Ema::Restore(std::span<const float> values, std::uint64_t steps) {
  average_.Assign(values);
  steps_ = steps;
}

}  // namespace hearsay::daemon
