// What is drawn in a simulation: from a counter of its own for each node, so
// that the same seed is the same run, whatever else happens.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

#include "daemon/mixing/shuffle.h"

namespace hearsay::sim {

class Chance {
 public:
  Chance() = default;
  Chance(std::uint64_t seed, std::uint64_t stream)
      : key_(mixing::Mix(seed, stream)) {}

  // In (0, 1).
  double Uniform() {
    const auto word = mixing::Mix(key_, count_++);
    return (static_cast<double>(word >> 11) + 0.5) * 0x1p-53;
  }
  double Uniform(double low, double high) {
    return low + (high - low) * Uniform();
  }
  double Exponential() { return -std::log(Uniform()); }
  // Standard. Box and Muller 1958; the second of a pair is kept.
  double Normal() {
    if (kept_) {
      kept_ = false;
      return other_;
    }
    const double radius = std::sqrt(-2 * std::log(Uniform()));
    const double angle = 2 * std::numbers::pi * Uniform();
    kept_ = true;
    other_ = radius * std::sin(angle);
    return radius * std::cos(angle);
  }
  // Of mean 1; `spread` is the deviation of its logarithm.
  double LogNormal(double spread) {
    return std::exp(spread * Normal() - spread * spread / 2);
  }

 private:
  std::uint64_t key_ = 0;
  std::uint64_t count_ = 0;
  double other_ = 0;
  bool kept_ = false;
};

}  // namespace hearsay::sim
