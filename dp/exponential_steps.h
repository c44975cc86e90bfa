// e^(i * rate) for neighbouring i, at a multiplication each. Inside dp/ only.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace hearsay::dp {

// Exact anew every 64 points: no error builds up. Beside the rounding of
// i * rate, a value is wrong by less than 4 units (2^-53) of itself.
class ExponentialSteps {
 public:
  // At(i) is e^(i * rate + shift).
  explicit ExponentialSteps(double rate, double shift = 0)
      : rate_(rate), shift_(shift) {
    for (std::size_t i = 0; i < kStride; ++i)
      within_[i] = std::exp(static_cast<double>(i) * rate);
  }
  double At(std::int64_t point) {
    const std::int64_t from = point - (point & (kStride - 1));
    if (from != from_) {
      from_ = from;
      begin_ = std::exp(static_cast<double>(from) * rate_ + shift_);
    }
    return begin_ * within_[static_cast<std::size_t>(point - from)];
  }

 private:
  static constexpr std::int64_t kStride = 64;
  double rate_;
  double shift_;
  std::int64_t from_ = 1;  // No multiple of the stride.
  double begin_ = 0;
  std::array<double, kStride> within_;
};

}  // namespace hearsay::dp
