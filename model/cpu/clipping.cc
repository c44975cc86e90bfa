#include "model/cpu/clipping.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "model/cpu/simd.h"

namespace hearsay::model::cpu {

namespace {

constexpr double kLongestSquared = 0x1p96;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMargin = 1 - 0x1p-16;
constexpr double kAutomatic = 0.01;

}  // namespace

namespace {

typedef float Four __attribute__((vector_size(16)));
typedef double FourDoubles __attribute__((vector_size(32)));

// The sum of squares, in double. By hand: as a loop, sums wait for each other,
// which takes twice as long for rows of 64.
HEARSAY_ALWAYS_INLINE double Squares(int n, const float* values) {
  constexpr int kSums = 4, kLanes = 4;
  FourDoubles sums[kSums] = {};
  int i = 0;
  for (; i + kSums * kLanes <= n; i += kSums * kLanes)
#pragma GCC unroll 4
    for (int k = 0; k < kSums; ++k) {
      Four some;
      std::memcpy(&some, values + i + k * kLanes, sizeof some);
      const auto wide = __builtin_convertvector(some, FourDoubles);
      sums[k] += wide * wide;
    }
  const FourDoubles all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double sum = (all[0] + all[1]) + (all[2] + all[3]);
  for (; i < n; ++i) {
    const double value = values[i];
    sum += value * value;
  }
  return sum;
}

}  // namespace

HEARSAY_VECTORISE
void AddSquaredNorms(int B, int I, int O, const float* a, const float* g,
                     double* squared_norms) {
  for (int b = 0; b < B; ++b, a += I, g += O) {
    const double a_squared = Squares(I, a);
    const double g_squared = Squares(O, g);
    const bool usable =  // Written so that NaN is not.
        a_squared <= kLongestSquared && g_squared <= kLongestSquared;
    double squared = g_squared * (a_squared + 1);
    if (!usable) squared = kInfinity;
    squared_norms[b] += squared;
  }
}

namespace {

// factors = factor_of(norm), a finite one; 0 for whom has none.
template <typename FactorOf>
ClipCount Factors(double clip_norm, std::span<const double> squared_norms,
                  std::span<float> factors, const FactorOf& factor_of) {
  ClipCount count;
  for (std::size_t b = 0; b < squared_norms.size(); ++b) {
    const double norm = std::sqrt(squared_norms[b]);
    if (!std::isfinite(norm)) {
      ++count.rejected;
      factors[b] = 0;
      continue;
    }
    count.clipped += norm > clip_norm ? 1 : 0;
    factors[b] = factor_of(norm);
  }
  return count;
}

}  // namespace

ClipCount ClipFactors(double clip_norm, std::span<const double> squared_norms,
                      std::span<float> factors) {
  return Factors(clip_norm, squared_norms, factors,
                 [limit = clip_norm * kMargin](double norm) {
                   return norm > limit ? static_cast<float>(limit / norm)
                                       : 1.0F;
                 });
}

ClipCount AutomaticFactors(double clip_norm,
                           std::span<const double> squared_norms,
                           std::span<float> factors) {
  return Factors(clip_norm, squared_norms, factors,
                 [limit = clip_norm * kMargin](double norm) {
                   return static_cast<float>(limit / (norm + kAutomatic));
                 });
}

HEARSAY_VECTORISE
void ScaleRows(int B, int O, const float* factors, float* g) {
  for (int b = 0; b < B; ++b, g += O) {
    const float factor = factors[b];
#pragma omp simd
    for (int o = 0; o < O; ++o) g[o] *= factor;
  }
}

HEARSAY_VECTORISE
void ScaleRowsAndAddTo(int B, int O, const float* factors, float* g,
                       float* sums) {
  for (int b = 0; b < B; ++b, g += O) {
    const float factor = factors[b];
#pragma omp simd
    for (int o = 0; o < O; ++o) {
      const float scaled = g[o] * factor;
      g[o] = scaled;
      sums[o] += scaled;
    }
  }
}

HEARSAY_VECTORISE
void AddRowsTo(int B, int O, const float* g, float* sums) {
  for (int b = 0; b < B; ++b, g += O) {
#pragma omp simd
    for (int o = 0; o < O; ++o) sums[o] += g[o];
  }
}

void ZeroRowsWithoutFactor(int B, int width, const float* factors,
                           float* rows) {
  for (int b = 0; b < B; ++b, rows += width)
    if (factors[b] == 0) std::fill_n(rows, width, 0.0f);
}

}  // namespace hearsay::model::cpu
