#include "daemon/probe.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace hearsay::daemon {

namespace {

class QuadraticProbe final : public GradientSource {
 public:
  explicit QuadraticProbe(int index)
      : index_(static_cast<std::size_t>(index)) {}

  Outcome Compute(std::span<const float> weights,
                  std::uint64_t /*steps_wanted*/,
                  std::span<float> gradient) override {
    std::copy(weights.begin(), weights.end(), gradient.begin());
    gradient[index_] -= 1.0F;
    return Outcome::kGradient;
  }

 private:
  const std::size_t index_;
};

// A multiple of 2^-12, so that adding and taking away is exact as long as the
// learning rate is a power of two: what is left is the rounding of exchanges.
// (A vector with random low bits is rounded one way above 1 and another below,
// the same way each time, and drifts by itself.)
float Coarse(double value) {
  return static_cast<float>(std::round(value * 4096) / 4096);
}

class ShakeProbe final : public GradientSource {
 public:
  explicit ShakeProbe(int index) : index_(index) {}

  Outcome Compute(std::span<const float> /*weights*/,
                  std::uint64_t /*steps_wanted*/,
                  std::span<float> gradient) override {
    sign_ = -sign_;
    for (std::size_t i = 0; i < gradient.size(); ++i)
      gradient[i] = sign_ * Coarse(std::sin(static_cast<double>(i + 1) *
                                            static_cast<double>(index_ + 1)));
    return Outcome::kGradient;
  }

 private:
  const int index_;
  float sign_ = 1;
};

}  // namespace

std::unique_ptr<GradientSource> MakeQuadraticProbe(int index) {
  return std::make_unique<QuadraticProbe>(index);
}

std::unique_ptr<GradientSource> MakeShakeProbe(int index) {
  return std::make_unique<ShakeProbe>(index);
}

void InitialiseProbe(std::span<float> weights) {
  const auto half = static_cast<std::ptrdiff_t>(weights.size() / 2);
  std::fill(weights.begin(), weights.begin() + half, 0.0F);
  std::fill(weights.begin() + half, weights.end(), 1.0F);
}

}  // namespace hearsay::daemon
