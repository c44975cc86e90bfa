#include "daemon/mixing/momentum.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hearsay::mixing {

Acid RingAcid(std::size_t members) {
  if (members < 3) return {};  // Two agree at once: nothing to gain.
  const auto n = static_cast<double>(members);
  const double chi1 = 1 / (2 - 2 * std::cos(2 * std::numbers::pi / n));
  const double chi2 = (n - 1) / n / 2;
  return {.eta = 1 / (2 * std::sqrt(chi1 * chi2)),
          .gain = std::sqrt(chi1 / chi2) / 2};
}

Acid Scaled(const Acid& acid, double delay) {
  const double kept = std::clamp(1 - 2 * delay, 0.0, 1.0);
  return {.eta = kept * acid.eta, .gain = 0.5 + kept * (acid.gain - 0.5)};
}

double BlendShare(double eta, double time) {
  return (1 - std::exp(-2 * eta * time)) / 2;
}

}  // namespace hearsay::mixing
