// Where to look at a sum of losses: how far to tilt its steps, and the window
// that holds the tilted sum. Inside dp/ only. Whatever is chosen here, the
// bound that dp/loss_sum.cc draws from it holds; a poor choice makes it loose.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dp/loss_step.h"

namespace hearsay::dp {

struct LossPhase {
  const LossPmf* step = nullptr;
  std::uint64_t steps = 0;
};

// One step's distribution times e^(theta loss), divided by its sum.
struct Tilted {
  std::vector<double> mass;
  double log_moment = 0;  // The logarithm of that sum.
  // All of `mass` together is wrong, by rounding, by no more than this.
  double doubt = 0;
};
Tilted TiltBy(double theta, double grid, const LossPmf& step);

struct Aim {
  // With it the middle of the tilted sum is not far from epsilon.
  double theta = 0;
  // The window: all but 1e-8 or so of the tilted sum.
  std::int64_t first = 0;  // Of its grid points.
  std::size_t points = 0;  // A quick length of transform.
  // The probability of finite losses above it, untilted, is no more than this.
  double mass_above = 0;
};
// Nothing if the window had more than kMostPoints.
std::optional<Aim> TakeAim(std::span<const LossPhase> phases, double grid,
                           double delta);

}  // namespace hearsay::dp
