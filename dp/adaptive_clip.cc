#include "dp/adaptive_clip.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "dp/gaussian_noise.h"

namespace hearsay::dp {
namespace {

constexpr double kRate = 0.2;         // of the geometric steps
constexpr double kCountShare = 0.05;  // of the expected batch: its noise
constexpr double kFarthest = 1e6;     // times the initial norm, either way

bool IsPositive(double value) { return value > 0 && std::isfinite(value); }

double CheckedCountStddev(const AdaptiveClipTerms& terms) {
  if (!IsPositive(terms.initial) || !IsPositive(terms.noise_multiplier) ||
      !IsPositive(terms.expected_batch))
    throw std::invalid_argument(
        "an adaptive clip needs a norm, a noise multiplier and an expected "
        "batch above 0");
  if (!(terms.quantile > 0 && terms.quantile < 1))
    throw std::invalid_argument("a quantile of " +
                                std::to_string(terms.quantile) +
                                ": must be above 0 and below 1");
  const double stddev = kCountShare * terms.expected_batch;
  if (!(terms.noise_multiplier < 2 * stddev))
    throw std::invalid_argument(
        "counting what is clipped would cost more than noise multiplier " +
        std::to_string(terms.noise_multiplier) +
        " allows: the expected batch must be above " +
        std::to_string(terms.noise_multiplier / (2 * kCountShare)) +
        " records, not " + std::to_string(terms.expected_batch));
  return stddev;
}

double GradientMultiplier(double noise_multiplier, double count_stddev) {
  const double rest = 1 / (noise_multiplier * noise_multiplier) -
                      1 / (4 * count_stddev * count_stddev);
  // Rounded up: a little more noise than was charged.
  return (1 / std::sqrt(rest)) * (1 + 1e-12);
}

}  // namespace

AdaptiveClip::AdaptiveClip(const AdaptiveClipTerms& terms)
    : terms_(terms),
      count_stddev_(CheckedCountStddev(terms)),
      gradient_multiplier_(
          GradientMultiplier(terms.noise_multiplier, count_stddev_)),
      norm_(terms.initial) {}

void AdaptiveClip::Update(double within, double batch, SecureRandom& random) {
  // Centred: who is within adds a half, who is not takes one off.
  float noise = 0;
  AddGaussianNoise(count_stddev_, random, {&noise, 1});
  const double count = within - batch / 2 + double{noise};
  const double share = count / terms_.expected_batch + 0.5;
  norm_ = std::clamp(norm_ * std::exp(-kRate * (share - terms_.quantile)),
                     terms_.initial / kFarthest, terms_.initial * kFarthest);
}

void AdaptiveClip::Restore(double norm) {
  if (!IsPositive(norm))
    throw std::invalid_argument("a clip norm of " + std::to_string(norm));
  norm_ =
      std::clamp(norm, terms_.initial / kFarthest, terms_.initial * kFarthest);
}

}  // namespace hearsay::dp
