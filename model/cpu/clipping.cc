#include "model/cpu/clipping.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/cpu/simd.h"

namespace hearsay::model::cpu {

namespace {

constexpr double kLongestSquared = 0x1p96;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMargin = 1 - 0x1p-16;
constexpr double kAutomatic = 0.01;

}  // namespace

HEARSAY_VECTORISE
void AddSquaredNorms(int B, int I, int O, const float* a, const float* g,
                     double* squared_norms) {
  for (int b = 0; b < B; ++b, a += I, g += O) {
    double a_squared = 0;
#pragma omp simd reduction(+ : a_squared)
    for (int i = 0; i < I; ++i) {
      const double value = a[i];
      a_squared += value * value;
    }
    double g_squared = 0;
#pragma omp simd reduction(+ : g_squared)
    for (int o = 0; o < O; ++o) {
      const double value = g[o];
      g_squared += value * value;
    }
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
