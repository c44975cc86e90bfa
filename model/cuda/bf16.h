// The passes of a step in bf16 on tensor cores. Each only launches.
//
// Every value that a product multiplies is rounded to bf16 first, and the norms
// are those of what was rounded; so only the factor of a clipped row rounds
// once more, which the clip's margin covers. Products sum in float32. Weights
// are kept in float32; what is multiplied is their copy.
//
// Shapes: B rows in buffers; I inputs and U units of a layer; matrices of bf16
// are row-major, with rows of Padded(width) values, the last of them 0.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "model/cuda/kernels.h"

namespace hearsay::model::cuda {

using Bf16 = __nv_bfloat16;

HEARSAY_ANYWHERE constexpr int Padded(int width) { return (width + 7) / 8 * 8; }

struct Bf16Layer {
  int inputs = 0, units = 0;
  Activation activation = Activation::kNone;
  std::size_t weight = 0, bias = 0;  // offsets into the flat parameters
  Bf16* rounded = nullptr;           // weights (units, inputs)
  const Bf16* in = nullptr;  // (B, inputs); of the first layer the shard
  Bf16* out = nullptr;       // (B, units); of the last layer none
  Bf16* z = nullptr;     // (B, units) where the derivative needs it, or none
  Bf16* grad = nullptr;  // (B, units): with respect to z
  // (B): squared lengths of what is in and of grad.
  double* in_squares = nullptr;
  double* grad_squares = nullptr;
};

struct Bf16Network {
  Bf16Layer layers[kMostLayers];
  int count = 0;
  int outputs = 0, label_width = 1;
  int max_batch = 0;
  // The gradients of an example with respect to all z lie side by side.
  Bf16* grads = nullptr;  // (B, grad_stride)
  int grad_stride = 0;
  Loss loss = Loss::kSoftmaxCrossEntropy;
  double margin = 1;
  // The shard, with a row of zeros behind the last.
  const double* shard_squares = nullptr;  // (N + 1)
  const float* shard_labels = nullptr;    // (N + 1, label_width)
  std::uint32_t zero_row = 0;             // N
  float* losses = nullptr;                // (B)
  float* weights = nullptr;               // (P)
};

// How a product is cut into tiles; which is the quickest is a matter of sizes.
inline constexpr int kTileShapes = 2;

// to (rows, Padded(width)) = from (rows, width), rounded; with `squares`, those
// of its rows.
void Round(cudaStream_t stream, const float* from, std::size_t rows, int width,
           Bf16* to, double* squares);
// All copies of weights.
void RoundWeights(cudaStream_t stream, const Bf16Network& network);

// Layer l < count - 1 forward. rows: of the first layer's inputs.
void ProjectTiles(cudaStream_t stream, int shape, const Bf16Network& network,
                  int l, const StepHead* head, const std::uint32_t* rows);
// The last layer forward and backward, and the loss.
void LastLayer(cudaStream_t stream, const Bf16Network& network,
               const StepHead* head, const std::uint32_t* rows);
// grad of layer l - 1 from that of layer l.
void ProjectBackTiles(cudaStream_t stream, int shape,
                      const Bf16Network& network, int l, const StepHead* head);
// Factors of all rows into grad. A rejected row becomes zero, and its number in
// `rows` that of the row of zeros.
void ClipBf16Rows(cudaStream_t stream, const Bf16Network& network,
                  const StepHead* head, std::uint32_t* rows,
                  StepTotals* totals);

// sum = (first slice: 0, else: sum) + gradients. After the last slice, in the
// same pass: gradient = (sum + noise) scale; weights, and their copies, -=
// learning_rate gradient.
struct OuterTerms {
  bool first = true, last = true;
  const double* noise = nullptr;  // (P)
  float* sum = nullptr;           // (P); unused if first and last
  float* gradient = nullptr;      // (P)
};
void OuterTiles(cudaStream_t stream, int shape, const Bf16Network& network,
                const StepHead* head, const std::uint32_t* rows,
                const OuterTerms& terms);

// Outputs of the last layer: a block holds three values of each for eight rows.
inline constexpr int kMostOutputs = 2048;

// Allow the shared memory that these ask for. Once, for a device.
void PrepareTiles(int max_batch);
void PrepareLastLayer(int outputs);

}  // namespace hearsay::model::cuda
