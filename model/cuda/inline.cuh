// What kernels of more than one file use.
#pragma once

#include <cstddef>

#include "model/spec.h"

namespace hearsay::model::cuda {

constexpr int kWarp = 32;
constexpr int kPiece = 8;  // values of bf16 in the 16 bytes that move at once
constexpr unsigned kAllLanes = 0xffffffffU;
// As in model/cpu/clipping.cc.
constexpr double kLongestSquared = 0x1p96;

__device__ inline int Lane() { return static_cast<int>(threadIdx.x) % kWarp; }

// Of a row-major matrix.
__device__ inline std::size_t At(int row, int width, int column) {
  return static_cast<std::size_t>(row) * width + column;
}

// Every lane gets it.
template <typename T>
__device__ inline T WarpSum(T value) {
  for (int lane = kWarp / 2; lane > 0; lane /= 2)
    value += __shfl_down_sync(kAllLanes, value, lane);
  return __shfl_sync(kAllLanes, value, 0);
}

__device__ inline float Activate(Activation activation, float z) {
  switch (activation) {
    case Activation::kRelu:
      return z < 0 ? 0 : z;  // NaN stays NaN.
    case Activation::kTanh:
      return tanhf(z);
    case Activation::kGelu:
      return 0.5F * z * (1 + erff(z * 0.70710678118654752F));
    case Activation::kNone:
    case Activation::kSigmoid:  // not offered (model/cuda_backend.cc)
      break;
  }
  return z;
}

__device__ inline float Derivative(Activation activation, float z, float out) {
  switch (activation) {
    case Activation::kRelu:
      return out > 0 ? 1 : 0;
    case Activation::kTanh:
      return 1 - out * out;
    case Activation::kGelu: {
      const float cumulative = 0.5F * (1 + erff(z * 0.70710678118654752F));
      return cumulative + z * 0.39894228040143268F * expf(-0.5F * z * z);
    }
    case Activation::kNone:
    case Activation::kSigmoid:  // not offered (model/cuda_backend.cc)
      break;
  }
  return 1;
}

}  // namespace hearsay::model::cuda
