// What an exact step refuses, before anything is launched. On its own so that
// it can be tested without a device.
#pragma once

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "model/cuda/exact_noise.h"
#include "model/device_step.h"

namespace hearsay::model::cuda {

// The squares of one example's steps fit into 64 bits, and 2^32 examples too.
inline constexpr std::int64_t kMostReach = std::int64_t{1} << 30;

// Throws: std::invalid_argument.
inline void CheckExactTerms(const DeviceStepTerms& terms) {
  const auto require = [](bool holds, const char* what) {
    if (!holds)
      throw std::invalid_argument(std::string("an exact step needs ") + what);
  };
  require(terms.grid.has_value(), "a grid");
  const DeviceGrid& grid = *terms.grid;
  require(grid.reach >= 1 && grid.reach <= kMostReach, "a reach of 1 to 2^30");
  require(grid.log_sigma >= 0 && grid.log_sigma <= kMostLogSigma,
          "a log sigma of 0 to 30");
  require(grid.margin > 0.5 && grid.margin <= 1, "a margin of 0.5 to 1");
  require(terms.clip_norm > 0 && std::isfinite(terms.clip_norm),
          "a clip norm that is finite and above 0");
  require(std::isfinite(terms.scale) && std::isfinite(terms.learning_rate),
          "a finite scale and learning rate");
}

}  // namespace hearsay::model::cuda
