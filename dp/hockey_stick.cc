#include "dp/hockey_stick.h"

#include <cmath>
#include <limits>
#include <stdexcept>

#include "dp/gaussian_tail.h"

namespace hearsay::dp {
namespace {

// delta(epsilon) of N(ratio, 1) against N(0, 1).
long double GaussianDelta(long double ratio, long double epsilon) {
  // Either side of 0 follows from the other; where epsilon is negative, delta
  // is nearly 1 - e^epsilon and the difference below would lose the rest.
  if (epsilon < 0)
    return -std::expm1(epsilon) +
           std::exp(epsilon) * GaussianDelta(ratio, -epsilon);
  const long double above = LogUpperTail(epsilon / ratio - ratio / 2);
  const long double below = epsilon + LogUpperTail(epsilon / ratio + ratio / 2);
  return std::exp(above) * -std::expm1(below - above);
}

}  // namespace

double StepDelta(double sample_rate, double noise_multiplier, double epsilon,
                 Neighbour neighbour) {
  if (!(sample_rate >= 0 && sample_rate <= 1))
    throw std::invalid_argument("a sample rate is in [0, 1]");
  if (!(noise_multiplier > 0 && std::isfinite(noise_multiplier)))
    throw std::invalid_argument("a noise multiplier is in (0, infinity)");
  if (!std::isfinite(epsilon))
    throw std::invalid_argument("epsilon is a finite number");
  const long double q = sample_rate;
  const long double ratio = 1 / static_cast<long double>(noise_multiplier);
  const long double log_ratio = epsilon;
  const bool remove = neighbour == Neighbour::kRemove;
  // The likelihood ratio of the mixture is no less than 1 - q, wherever.
  const bool beyond =
      q == 0 || (remove ? log_ratio : -log_ratio) <= std::log1p(-q);
  if (beyond)
    return remove || log_ratio < 0
               ? static_cast<double>(std::max(-std::expm1(log_ratio), 0.0L))
               : 0;
  if (remove) {
    const long double inner = std::log1p(std::expm1(log_ratio) / q);
    return static_cast<double>(q * GaussianDelta(ratio, inner));
  }
  const long double inner = std::log1p(std::expm1(-log_ratio) / q);
  return static_cast<double>(q * std::exp(log_ratio + inner) *
                             GaussianDelta(ratio, -inner));
}

double GaussianEpsilon(long double ratio, double delta) {
  if (ratio == 0 || GaussianDelta(ratio, 0) <= delta) return 0;
  // `high` fits, always; `low` does not.
  long double low = 0;
  long double high = 1;
  for (; GaussianDelta(ratio, high) > delta; high *= 2) low = high;
  while (high - low > 1e-14L * high) {
    const long double middle = low + (high - low) / 2;
    (GaussianDelta(ratio, middle) > delta ? low : high) = middle;
  }
  return std::nextafter(static_cast<double>(high * (1 + 1e-13L)),
                        std::numeric_limits<double>::infinity());
}

}  // namespace hearsay::dp
