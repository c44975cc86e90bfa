#include "model/cpu/weight_gradient.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/cpu/gemm.h"
#include "model/cpu/simd.h"

namespace hearsay::model::cpu {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLongestSquared = 0x1p96;  // as in clipping.cc
constexpr double kShareOfMargin = 0x1p-17;
// 16 MiB of floats a layer: beyond, forming them again is as cheap as reading.
constexpr std::size_t kMostKept = std::size_t{1} << 22;

HEARSAY_VECTORISE
void Widen(std::size_t n, const float* values, double* wide) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) wide[i] = values[i];
}

// Of the lower triangles of two symmetric matrices.
double Inner(int T, const double* a, const double* g) {
  double sum = 0;
  for (int t = 0; t < T; ++t, a += T, g += T) {
    for (int s = 0; s < t; ++s) sum += 2 * a[s] * g[s];
    sum += a[t] * g[t];
  }
  return sum;
}

double Trace(int T, const double* gram) {
  double sum = 0;
  for (int t = 0; t < T; ++t) sum += gram[t * T + t];
  return sum;
}

}  // namespace

HEARSAY_VECTORISE
double SquaredLength(std::size_t n, const float* values) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < n; ++i) {
    const double value = values[i];
    sum += value * value;
  }
  return sum;
}

HEARSAY_VECTORISE
void AddTimes(std::size_t n, float factor, const float* x, float* y) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) {
    const float scaled = factor * x[i];
    y[i] += scaled;
  }
}

HEARSAY_VECTORISE
void SumPlaces(int T, int p, const float* g, float* sums) {
  constexpr int kAtOnce = 64;
  for (int first = 0; first < p; first += kAtOnce) {
    const int n = std::min(kAtOnce, p - first);
    double sum[kAtOnce] = {};
    for (int t = 0; t < T; ++t) {
      const float* const row = g + t * p + first;
#pragma omp simd
      for (int o = 0; o < n; ++o) sum[o] += row[o];
    }
    for (int o = 0; o < n; ++o) sums[first + o] = static_cast<float>(sum[o]);
  }
}

WeightGradient::WeightGradient(const Sizes& sizes)
    : sizes_(sizes),
      ghost_(2.0 * sizes.T * sizes.T <=
             static_cast<double>(sizes.d) * sizes.p) {}

void WeightGradient::Cut(Cutter& cutter, int max_batch) {
  if (ghost_) {
    const auto T = static_cast<std::size_t>(sizes_.T);
    const auto wider = static_cast<std::size_t>(std::max(sizes_.d, sizes_.p));
    wide_ = cutter.TakeAs<double>(T * wider);
    gram_a_ = cutter.TakeAs<double>(T * T);
    gram_g_ = cutter.TakeAs<double>(T * T);
    return;
  }
  const std::size_t all = static_cast<std::size_t>(max_batch) * size();
  kept_ = all <= kMostKept;
  gradients_ = cutter.Take(kept_ ? all : size());
}

void WeightGradient::Multiply(const float* a, const float* g, float alpha,
                              float beta, float* result) const {
  const auto& [T, d, p] = sizes_;
  Product({.rows = p,
           .columns = d,
           .inner = T,
           .transposed_left = true,
           .alpha = alpha,
           .beta = beta},
          g, a, result);
}

void WeightGradient::Gram(const float* values, int width, double* gram) {
  Widen(static_cast<std::size_t>(sizes_.T) * static_cast<std::size_t>(width),
        values, wide_);
  GramMatrix(sizes_.T, width, wide_, gram);
}

double WeightGradient::GhostSquaredNorm(const float* a, const float* g) {
  const int T = sizes_.T;
  Gram(a, sizes_.d, gram_a_);
  Gram(g, sizes_.p, gram_g_);
  const double a_squared = Trace(T, gram_a_);
  const double g_squared = Trace(T, gram_g_);
  const bool usable =  // Written so that NaN is not.
      a_squared <= kLongestSquared && g_squared <= kLongestSquared;
  if (!usable) return kInfinity;
  const double norm = std::sqrt(std::max(Inner(T, gram_a_, gram_g_), 0.0));
  // With room for the rounding of the Gram matrices, whose root it is.
  const double rounding = (T + 64) * 0x1p-24 * std::sqrt(a_squared * g_squared);
  const double excess = std::max(rounding - kShareOfMargin * norm, 0.0);
  return T == 1 ? norm * norm : (norm + excess) * (norm + excess);
}

double WeightGradient::SquaredNorm(int b, const float* a, const float* g) {
  if (ghost_) return GhostSquaredNorm(a, g);
  float* const gradient =
      gradients_ + (kept_ ? static_cast<std::size_t>(b) * size() : 0);
  Multiply(a, g, 1, 0, gradient);
  const double squared = SquaredLength(size(), gradient);
  return squared - squared == 0 ? squared : kInfinity;
}

void WeightGradient::AddScaled(int b, const float* a, const float* g,
                               float factor, float* sum) {
  if (factor == 0) return;
  if (ghost_) return Multiply(a, g, factor, 1, sum);
  const float* const gradient =
      gradients_ + (kept_ ? static_cast<std::size_t>(b) * size() : 0);
  if (!kept_) Multiply(a, g, 1, 0, gradients_);
  AddTimes(size(), factor, gradient, sum);
}

void WeightGradient::Add(const float* a, const float* g, float* sum) const {
  Multiply(a, g, 1, 1, sum);
}

}  // namespace hearsay::model::cpu
