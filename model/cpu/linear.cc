#include "model/cpu/linear.h"

#include <limits>

#include "model/cpu/clipping.h"
#include "model/cpu/gemm.h"

namespace hearsay::model::cpu {

Linear::Linear(const WeightGradient::Sizes& sizes, const Parameters& at)
    : T_(sizes.T),
      d_(sizes.d),
      p_(sizes.p),
      at_(at),
      forward_(d_, p_),
      backward_(p_, d_),
      gradient_(sizes) {}

void Linear::Cut(Cutter& cutter, int max_batch) {
  forward_.Cut(cutter);
  backward_.Cut(cutter);
  if (T_ == 1) return;
  gradient_.Cut(cutter, max_batch);
  bias_grads_ = cutter.Take(static_cast<std::size_t>(max_batch) *
                            static_cast<std::size_t>(p_));
}

void Linear::Forward(const float* weights, int B, const float* in, float* out) {
  const float* const weight = weights + at_.weight;
  if (forward_.fits())
    forward_.TimesTransposed(weight, B * T_, in, nullptr, false, out);
  else
    Project(B * T_, d_, p_, in, weight, out);
}

void Linear::ForwardWithBias(const float* weights, int B, const float* in,
                             bool relu, float* out) {
  forward_.TimesTransposed(weights + at_.weight, B * T_, in, weights + at_.bias,
                           relu, out);
}

void Linear::Backward(const float* weights, int B, const float* grad,
                      float* grad_in) {
  for (int b = 0; T_ > 1 && b < B; ++b)
    SumPlaces(T_, p_, grad + static_cast<std::size_t>(b) * gradient_.grads(),
              bias_grads_ + b * p_);
  if (grad_in == nullptr) return;
  const float* const weight = weights + at_.weight;
  if (backward_.fits())
    backward_.Times(weight, B * T_, grad, grad_in);
  else
    ProjectBack(B * T_, d_, p_, grad, weight, grad_in);
}

// At one place the weight's gradient is an outer product: nothing is formed,
// nor multiplied (clipping.h).
void Linear::AddSquaredNorms(int B, const float* in, const float* grad,
                             double* squared_norms) {
  if (T_ == 1) return cpu::AddSquaredNorms(B, d_, p_, in, grad, squared_norms);
  for (int b = 0; b < B; ++b) {
    const auto row = static_cast<std::size_t>(b);
    const double squared =
        SquaredLength(static_cast<std::size_t>(p_), bias_grads_ + b * p_) +
        gradient_.SquaredNorm(b, in + row * gradient_.inputs(),
                              grad + row * gradient_.grads());
    squared_norms[b] += squared - squared == 0
                            ? squared
                            : std::numeric_limits<double>::infinity();
  }
}

void Linear::AddClippedGradient(int B, const float* in, float* grad,
                                const float* factors, float* sum) {
  AddBiasGradient(B, grad, factors, sum + at_.bias);
  AddWeightGradient(B, in, grad, factors, sum + at_.weight);
}

void Linear::AddBiasGradient(int B, float* grad, const float* factors,
                             float* sum) {
  float* const rows = T_ == 1 ? grad : bias_grads_;
  if (factors == nullptr)
    AddRowsTo(B, p_, rows, sum);
  else
    ScaleRowsAndAddTo(B, p_, factors, rows, sum);
}

// Formed gradients are added as they are; else the rows of grad are scaled, at
// one place by AddBiasGradient, and one product sums over examples and places.
void Linear::AddWeightGradient(int B, const float* in, float* grad,
                               const float* factors, float* sum) {
  if (T_ > 1 && factors != nullptr && !gradient_.ghost()) {
    for (int b = 0; b < B; ++b) {
      const auto row = static_cast<std::size_t>(b);
      gradient_.AddScaled(b, in + row * gradient_.inputs(),
                          grad + row * gradient_.grads(), factors[b], sum);
    }
    return;
  }
  if (T_ > 1 && factors != nullptr) ScaleRows(B, T_ * p_, factors, grad);
  AddOuterProducts(B * T_, d_, p_, grad, in, sum);
}

void Linear::ZeroRejected(int B, const float* factors) {
  if (T_ > 1) ZeroRowsWithoutFactor(B, p_, factors, bias_grads_);
}

}  // namespace hearsay::model::cpu
