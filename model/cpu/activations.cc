#include "model/cpu/activations.h"

#include <algorithm>

#include "model/cpu/simd.h"

namespace hearsay::model::cpu {

namespace {

constexpr float kSqrtHalf = 0.70710678118654752f;
constexpr float kInverseSqrtTwoPi = 0.39894228040143268f;

HEARSAY_VECTORISE
void AddBias(int B, int U, const float* bias, float* z) {
  for (int b = 0; b < B; ++b, z += U) {
#pragma omp simd
    for (int u = 0; u < U; ++u) z[u] += bias[u];
  }
}

// One pass for the commonest activation. `< 0 ? 0` rather than `> 0 ? z`, which
// would turn NaN into a plausible 0.
HEARSAY_VECTORISE
void AddBiasAndRelu(int B, int U, const float* bias, float* z) {
  for (int b = 0; b < B; ++b, z += U) {
#pragma omp simd
    for (int u = 0; u < U; ++u) {
      const float sum = z[u] + bias[u];
      z[u] = sum < 0 ? 0 : sum;
    }
  }
}

HEARSAY_VECTORISE
void Relu(std::size_t n, const float* z, float* out) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) out[i] = z[i] < 0 ? 0 : z[i];
}

HEARSAY_VECTORISE
void Tanh(std::size_t n, const float* z, float* out) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) out[i] = ::tanhf(z[i]);
}

// An overflow of the exponential is a sigmoid of 0.
HEARSAY_VECTORISE
void Sigmoid(std::size_t n, const float* z, float* out) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) out[i] = 1 / (1 + ::expf(-z[i]));
}

// x Phi(x)
HEARSAY_VECTORISE
void Gelu(std::size_t n, const float* z, float* out) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i)
    out[i] = 0.5f * z[i] * (1 + ::erff(z[i] * kSqrtHalf));
}

HEARSAY_VECTORISE
void MultiplyByReluDerivative(std::size_t n, const float* out, float* grad) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) grad[i] = out[i] > 0 ? grad[i] : 0;
}

HEARSAY_VECTORISE
void MultiplyByTanhDerivative(std::size_t n, const float* out, float* grad) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) grad[i] *= 1 - out[i] * out[i];
}

HEARSAY_VECTORISE
void MultiplyBySigmoidDerivative(std::size_t n, const float* out, float* grad) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) grad[i] *= out[i] * (1 - out[i]);
}

// Phi(x) + x phi(x)
HEARSAY_VECTORISE
void MultiplyByGeluDerivative(std::size_t n, const float* z, float* grad) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) {
    const float density = kInverseSqrtTwoPi * ::expf(-0.5f * z[i] * z[i]);
    const float below = 0.5f * (1 + ::erff(z[i] * kSqrtHalf));
    grad[i] *= below + z[i] * density;
  }
}

}  // namespace

bool KeepsInput(Activation activation) {
  return activation == Activation::kGelu;
}

void AddBiasAndActivate(Activation activation, int B, int U, const float* bias,
                        float* z, float* out) {
  const std::size_t n =
      static_cast<std::size_t>(B) * static_cast<std::size_t>(U);
  switch (activation) {
    case Activation::kNone:
      return AddBias(B, U, bias, z);
    case Activation::kRelu:
      return AddBiasAndRelu(B, U, bias, z);
    case Activation::kTanh:
    case Activation::kGelu:
    case Activation::kSigmoid:
      AddBias(B, U, bias, z);
      return Activate(activation, n, z, out);
  }
}

void Activate(Activation activation, std::size_t n, const float* z,
              float* out) {
  switch (activation) {
    case Activation::kNone:
      if (out != z) std::copy_n(z, n, out);
      return;
    case Activation::kRelu:
      return Relu(n, z, out);
    case Activation::kTanh:
      return Tanh(n, z, out);
    case Activation::kGelu:
      return Gelu(n, z, out);
    case Activation::kSigmoid:
      return Sigmoid(n, z, out);
  }
}

void MultiplyByDerivative(Activation activation, std::size_t n, const float* z,
                          const float* out, float* grad) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      return MultiplyByReluDerivative(n, out, grad);
    case Activation::kTanh:
      return MultiplyByTanhDerivative(n, out, grad);
    case Activation::kGelu:
      return MultiplyByGeluDerivative(n, z, grad);
    case Activation::kSigmoid:
      return MultiplyBySigmoidDerivative(n, out, grad);
  }
}

}  // namespace hearsay::model::cpu
