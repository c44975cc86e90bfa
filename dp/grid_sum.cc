#include "dp/grid_sum.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <stdexcept>
#include <string>

namespace hearsay::dp {
namespace {

// 2^30 steps a vector: the squares of one fit into 64 bits, 2^32 vectors and
// their noise too.
constexpr int kMostLogReach = 30;

void CheckTerms(double clip_norm, double noise_multiplier) {
  if (!(clip_norm > 0 && std::isfinite(clip_norm)))
    throw std::invalid_argument("a clip norm of " + std::to_string(clip_norm) +
                                ": must be finite and above 0");
  if (!(noise_multiplier >= 0x1p-30 && noise_multiplier <= 0x1p30))
    throw std::invalid_argument(
        "exact noise needs a multiplier of 2^-30 to "
        "2^30, not " +
        std::to_string(noise_multiplier));
}

// The finest grid on which no vector is longer than 2^kMostLogReach steps.
int LogSigmaFor(double noise_multiplier) {
  int log_sigma = kMostLogSigma;
  while (std::ldexp(1 / noise_multiplier, log_sigma) >= 0x1p30) --log_sigma;
  static_assert(kMostLogReach == 30);
  return std::max(log_sigma, 0);
}

// sigma / multiplier, rounded down so that the noise is never short of it.
std::int64_t ReachFor(int log_sigma, double noise_multiplier) {
  const double sigma = std::ldexp(1.0, log_sigma);
  double reach = std::floor(sigma / noise_multiplier);
  // Rounded once, so it has the sign of the exact difference.
  while (std::fma(reach, noise_multiplier, -sigma) > 0) --reach;
  return static_cast<std::int64_t>(reach);
}

}  // namespace

GridTerms GridTermsFor(double clip_norm, double noise_multiplier) {
  CheckTerms(clip_norm, noise_multiplier);
  const int log_sigma = LogSigmaFor(noise_multiplier);
  return {.clip_norm = clip_norm,
          .log_sigma = log_sigma,
          .reach = ReachFor(log_sigma, noise_multiplier)};
}

GridSum::GridSum(std::size_t size, double clip_norm, double noise_multiplier)
    : terms_(GridTermsFor(clip_norm, noise_multiplier)),
      noise_(terms_.log_sigma),
      sum_(size),
      steps_(size) {}

GridSum::Fate GridSum::Add(std::span<const float> vector) {
  assert(vector.size() == sum_.size());
  double squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::size_t i = 0; i < vector.size(); ++i) {
    const double value = vector[i];
    squares += value * value;
  }
  if (!std::isfinite(squares)) return Fate::kRejected;
  const double norm = std::sqrt(squares);
  const auto reach = static_cast<double>(terms_.reach);
  const double factor = norm > terms_.clip_norm * kGridMargin
                            ? reach * kGridMargin / norm
                            : reach / terms_.clip_norm;
  // Towards zero, so that it cannot grow.
  std::int64_t length = 0;
#pragma omp simd reduction(+ : length)
  for (std::size_t i = 0; i < vector.size(); ++i) {
    const auto steps = static_cast<std::int32_t>(vector[i] * factor);
    steps_[i] = steps;
    length += std::int64_t{steps} * steps;
  }
  if (length > terms_.reach * terms_.reach)
    return Fate::kRejected;  // It never is.
#pragma omp simd
  for (std::size_t i = 0; i < vector.size(); ++i) sum_[i] += steps_[i];
  return norm > terms_.clip_norm ? Fate::kClipped : Fate::kWhole;
}

void GridSum::TakeInto(double scale, std::span<float> values) {
  assert(values.size() == sum_.size());
  const double step =
      scale * terms_.clip_norm / static_cast<double>(terms_.reach);
  for (std::size_t i = 0; i < sum_.size(); ++i)
    values[i] = static_cast<float>(static_cast<double>(sum_[i]) * step);
  std::fill(sum_.begin(), sum_.end(), 0);
}

}  // namespace hearsay::dp
