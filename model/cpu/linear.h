// A weight and a bias that one example uses at T places, with the passes of
// layers/layer.h: a dense layer, and the projections of attention.
//
// Shapes: B examples; in and grad_in (B, T, d), out and grad (B, T, p); weight
// (p, d), bias (p).
#pragma once

#include <cstddef>

#include "model/cpu/cutter.h"
#include "model/cpu/row_product.h"
#include "model/cpu/weight_gradient.h"

namespace hearsay::model::cpu {

class Linear {
 public:
  // `weight` and `bias`: where they begin among the model's parameters.
  struct Parameters {
    std::size_t weight, bias;
  };
  Linear(const WeightGradient::Sizes& sizes, const Parameters& at);

  void Cut(Cutter& cutter, int max_batch);

  // out = in weight^T. The bias is left to who may add it together with an
  // activation.
  void Forward(const float* weights, int B, const float* in, float* out);
  // Whether the next one is there: out = in weight^T + bias, and with `relu`
  // nothing below 0, but NaN.
  bool adds_bias() const { return forward_.fits(); }
  void ForwardWithBias(const float* weights, int B, const float* in, bool relu,
                       float* out);
  // grad_in: nullptr where nobody needs it.
  void Backward(const float* weights, int B, const float* grad, float* grad_in);
  void AddSquaredNorms(int B, const float* in, const float* grad,
                       double* squared_norms);
  // grad: its rows may be scaled on the way.
  void AddClippedGradient(int B, const float* in, float* grad,
                          const float* factors, float* sum);
  void ZeroRejected(int B, const float* factors);

 private:
  void AddBiasGradient(int B, float* grad, const float* factors, float* sum);
  void AddWeightGradient(int B, const float* in, float* grad,
                         const float* factors, float* sum);

  const int T_, d_, p_;
  const Parameters at_;
  RowProduct forward_, backward_;  // where they fit
  WeightGradient gradient_;        // used where T > 1
  float* bias_grads_ = nullptr;    // (B, p), where T > 1
};

}  // namespace hearsay::model::cpu
