#include "dp/gaussian_tail.h"

#include <cmath>
#include <numbers>

namespace hearsay::dp {

long double LogHalfErfc(long double x) {
  if (x < 25) return std::log(std::erfc(x)) - std::numbers::ln2_v<long double>;
  // erfc(x) = exp(-x^2) / (x sqrt(pi)) (1 - 1/(2x^2) + 3/(2x^2)^2 - ...). The
  // ninth term is below 1e-21 at 25.
  const long double y = -1 / (2 * x * x);
  long double term = 1;
  long double series = 0;
  for (int k = 1; k < 9; ++k) {
    term *= y * (2 * k - 1);
    series += term;
  }
  return -x * x - std::log(2 * x * std::sqrt(std::numbers::pi_v<long double>)) +
         std::log1p(series);
}

long double LogUpperTail(long double z) {
  return LogHalfErfc(z / std::numbers::sqrt2_v<long double>);
}

}  // namespace hearsay::dp
