#include "model/cpu/row_product.h"

#include <algorithm>

namespace hearsay::model::cpu {

namespace {

constexpr auto kStep = static_cast<std::size_t>(kColumns);
// Of a matrix, in values: what a second cache holds beside the rows.
constexpr int kLargest = 1 << 14;

}  // namespace

RowProduct::RowProduct(int K, int N)
    : kernels_(KernelsOfThisProcessor()),
      K_(K),
      N_(N),
      fits_(N % kColumns == 0 && K <= kLargest / N) {}

void RowProduct::Cut(Cutter& cutter) {
  if (!fits_) return;
  const auto N = static_cast<std::size_t>(N_);
  packed_ = cutter.Take(N * static_cast<std::size_t>(K_));
  zeros_ = cutter.Take(N);
}

void RowProduct::TimesTransposed(const float* weight, int B, const float* in,
                                 const float* bias, bool relu, float* rows) {
  const auto K = static_cast<std::size_t>(K_);
  const auto N = static_cast<std::size_t>(N_);
  float* packed = packed_;
  for (std::size_t first = 0; first < N; first += kStep)
    for (std::size_t k = 0; k < K; ++k)
      for (std::size_t n = first; n < first + kStep; ++n)
        *packed++ = weight[n * K + k];
  kernels_.dense(B, K_, N_, in, packed_, bias == nullptr ? zeros_ : bias, relu,
                 rows);
}

void RowProduct::Times(const float* weight, int B, const float* in,
                       float* rows) {
  const auto K = static_cast<std::size_t>(K_);
  const auto N = static_cast<std::size_t>(N_);
  float* packed = packed_;
  for (std::size_t first = 0; first < N; first += kStep)
    for (std::size_t k = 0; k < K; ++k)
      packed = std::copy_n(weight + k * N + first, kStep, packed);
  kernels_.dense(B, K_, N_, in, packed_, zeros_, false, rows);
}

}  // namespace hearsay::model::cpu
