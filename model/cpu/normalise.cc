#include "model/cpu/normalise.h"

#include <cmath>

#include "model/cpu/simd.h"

namespace hearsay::model::cpu {

namespace {

constexpr double kEpsilon = 1e-5;

}  // namespace

HEARSAY_VECTORISE
double Normalise(std::size_t n, const float* x, float* normalised) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < n; ++i) sum += x[i];
  const double mean = sum / static_cast<double>(n);
  double squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::size_t i = 0; i < n; ++i) {
    const double apart = x[i] - mean;
    squares += apart * apart;
  }
  const double rate =
      1 / std::sqrt(squares / static_cast<double>(n) + kEpsilon);
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i)
    normalised[i] = static_cast<float>((x[i] - mean) * rate);
  return rate;
}

// Neither a change of all values nor of their scale reaches the other side:
// the parts of grad along 1 and along the normalised values go.
HEARSAY_VECTORISE
void BackThroughNormalise(std::size_t n, double rate, const float* normalised,
                          const float* grad, float* grad_in) {
  double sum = 0;
  double along = 0;
#pragma omp simd reduction(+ : sum, along)
  for (std::size_t i = 0; i < n; ++i) {
    const double g = grad[i];
    sum += g;
    along += g * normalised[i];
  }
  const double mean = sum / static_cast<double>(n);
  const double share = along / static_cast<double>(n);
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i)
    grad_in[i] =
        static_cast<float>(rate * (grad[i] - mean - share * normalised[i]));
}

}  // namespace hearsay::model::cpu
