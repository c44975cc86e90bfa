#include "daemon/noise_check.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>
#include <vector>

namespace hearsay::daemon {
namespace {

constexpr double kValues = 400'000;
constexpr int kMostCalls = 1000;
constexpr double kDeviations = 5.5;

}  // namespace

void CheckNoise(PrivateSum& sum, std::size_t weights,
                const PrivateSumTerms& terms) {
  const std::vector<float> zeros(weights);
  std::vector<float> noise(weights);
  dp::SecureRandom random;
  PhaseSeconds unused;
  const double unit = terms.noise_stddev * terms.scale;
  double count = 0;
  double total = 0;
  double squares = 0;
  for (int call = 0; call < kMostCalls && count < kValues; ++call) {
    sum.Compute(zeros, {}, terms, random, noise, unused);
    random.Ratchet();
    for (const float value : noise) {
      const double normal = value / unit;
      total += normal;
      squares += normal * normal;
    }
    count += static_cast<double>(weights);
  }
  const double variance = squares / count;
  const double mean = total / count;
  // Written so that a NaN fails.
  const bool sound =
      std::abs(variance - 1) <= kDeviations * std::sqrt(2 / count) &&
      std::abs(mean) <= kDeviations / std::sqrt(count);
  if (!sound)
    throw std::runtime_error(fmt::format(
        "the noise is not what it has to be: of {:.0f} values the mean is "
        "{:.4f} (0) and the variance {:.4f} (1) times that of the "
        "configuration; do not train on this device (node.device = \"cpu\" "
        "does without a GPU)",
        count, mean, variance));
}

}  // namespace hearsay::daemon
