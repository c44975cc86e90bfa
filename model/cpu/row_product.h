// Rows times a small matrix, by the register tiles of conv_kernels.h: a dense
// layer is a convolution with one place. OpenBLAS copies both factors and
// clears the result first, which is a third of the time where the matrix is
// 64 x 64; where it is large, OpenBLAS is as quick.
//
// Shapes: B rows of K values; the result (B, N). Threads: one at a time.
#pragma once

#include "model/cpu/conv_kernels.h"
#include "model/cpu/cutter.h"

namespace hearsay::model::cpu {

class RowProduct {
 public:
  RowProduct(int K, int N);

  // Whether it is to be used at all; else none of the others may be called.
  bool fits() const { return fits_; }
  void Cut(Cutter& cutter);

  // rows = bias + in times the transpose of weight (N, K), and with `relu`
  // nothing below 0, but NaN. bias (N), or null.
  void TimesTransposed(const float* weight, int B, const float* in,
                       const float* bias, bool relu, float* rows);
  // rows = in times weight (K, N).
  void Times(const float* weight, int B, const float* in, float* rows);

 private:
  const ConvKernels& kernels_;
  const int K_, N_;
  const bool fits_;
  float* packed_ = nullptr;  // (N / kColumns, K, kColumns)
  float* zeros_ = nullptr;   // (N)
};

}  // namespace hearsay::model::cpu
