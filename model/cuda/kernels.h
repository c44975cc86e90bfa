// The passes of a step that are not matrix products. Each only launches.
//
// Shapes: B rows in buffers, of which the first `count` are examples and the
// others zero; I inputs and O outputs of a layer; P parameters.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "model/cuda/noise.h"
#include "model/spec.h"

namespace hearsay::model::cuda {

// Of the clip norm: what rounding of float32 needs, as on the CPU.
inline constexpr double kFloat32Margin = 1 - 0x1p-16;

// What one step or slice is told, in device memory; from the host in one copy.
// The noise is of a whole step, and so are the rates.
struct StepHead {
  double clip_norm = 1;
  double noise_stddev = 0;
  double scale = 1;
  double learning_rate = 0;
  ChaChaKey key{};
  std::int32_t count = 0;  // examples in this slice
  std::int32_t unused = 0;
};

// Running totals, in device memory.
struct StepTotals {
  double loss_sum = 0;
  std::uint32_t clipped = 0;
  std::uint32_t rejected = 0;
  std::uint32_t correct = 0;
  std::uint32_t unused = 0;
};

// Where a layer's values lie, for passes over all layers at once.
struct LayerView {
  float* in = nullptr;         // (B, inputs): the features, or another's out
  float* grad = nullptr;       // (B, units): with respect to z
  const float* out = nullptr;  // (B, units)
  const float* z = nullptr;    // (B, units) before the activation
  float* bias_sum = nullptr;   // (units)
  int inputs = 0;
  int units = 0;
  Activation activation = Activation::kNone;
};

inline constexpr int kMostLayers = 16;

struct LayerViews {
  LayerView layers[kMostLayers];
  int count = 0;
};

// features (B, I) and labels (B, W) = those of `rows` of the shard; zero beyond
// head->count.
void Gather(cudaStream_t stream, const StepHead* head,
            const std::uint32_t* rows, const float* shard_features,
            const float* shard_labels, int B, int I, int W, float* features,
            float* labels);

// z += bias if there is one; out = activation(z). z may be out.
void AddBiasAndActivate(cudaStream_t stream, Activation activation, int B,
                        int O, const float* bias, float* z, float* out);

// losses (B) and grad (B, O) of the last layer's outputs; 0 beyond
// head->count. With `totals`, adds what was right to them.
void LossGradients(cudaStream_t stream, Loss loss, const StepHead* head, int B,
                   int O, const float* outputs, const float* labels,
                   float* losses, float* grad, StepTotals* totals);

// grad *= the activation's derivative.
void MultiplyByDerivative(cudaStream_t stream, Activation activation, int B,
                          int O, const float* z, const float* out, float* grad);

// Per example: the squared norm of its gradient over all layers (model/cpu/
// clipping.h says how), and, unless `norms` are wanted, its factor and its
// rescaled gradients; rows of rejected examples become zero, inputs too. The
// first layer's derivative is taken here. margin: what the clip norm is
// multiplied with, so that rounding cannot exceed it.
struct ClipTerms {
  const StepHead* head = nullptr;
  const float* losses = nullptr;  // (B)
  float* norms = nullptr;         // (B) if only they are wanted
  StepTotals* totals = nullptr;
  double margin = 1;
  bool clip = true;  // false: every finite or infinite gradient as it is
};
void ClipRows(cudaStream_t stream, const LayerViews& views, int B,
              const ClipTerms& terms);

// bias_sum (units) = beta bias_sum + the sum of grad's rows, in all layers.
void SumRows(cudaStream_t stream, const LayerViews& views, int B, float beta);

// noise (P) = normals of the head's key, times its deviation. Depends on
// nothing else, so it may run beside everything else.
void DrawNoise(cudaStream_t stream, const StepHead* head, std::size_t P,
               double* noise);

// gradient = (sum + noise) scale; weights -= learning_rate gradient; sum = 0.
void Update(cudaStream_t stream, const StepHead* head, std::size_t P,
            const double* noise, float* sum, float* gradient, float* weights);

}  // namespace hearsay::model::cuda
