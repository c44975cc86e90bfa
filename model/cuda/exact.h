// The passes of an exact step. Each only launches.
//
// An example's gradient must be a function of that example alone, to the last
// bit: what leaving it out changes is then its own vector and nothing else. So
// products are not cuBLAS's, whose order of additions may go by a row's place
// in the batch, but add in the same order for every row; and the gradients of
// examples are formed one by one, in all passes alike.
//
// Shapes: B examples; I inputs and O outputs of a layer; P parameters.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "model/cuda/kernels.h"

namespace hearsay::model::cuda {

// out (B, O) = in (B, I) weight (O, I)^T
void ProjectRows(cudaStream_t stream, int B, int I, int O, const float* in,
                 const float* weight, float* out);
// grad_in (B, I) = grad_out (B, O) weight (O, I)
void ProjectRowsBack(cudaStream_t stream, int B, int I, int O,
                     const float* grad_out, const float* weight,
                     float* grad_in);

// What the gradient of one layer is formed from: weights (O, I) grad[o] in[i],
// biases grad[o].
struct ExactLayer {
  const float* in = nullptr;    // (B, I)
  const float* grad = nullptr;  // (B, O): with respect to z
  int inputs = 0;
  int units = 0;
  std::size_t weight = 0;  // offsets into the flat parameters
  std::size_t bias = 0;
};

struct ExactLayers {
  ExactLayer layers[kMostLayers];
  int count = 0;
};

struct ExactClip {
  double clip_norm = 1;
  std::int64_t reach = 1;
  double margin = 1;
};

// factors (B): what each gradient is multiplied with to be in grid steps, no
// longer than reach once these are cut off towards zero; 0 for an example that
// adds nothing, as its loss or gradient is not finite. Adds to `totals`.
void FactorsOfRows(cudaStream_t stream, const ExactLayers& layers, int B,
                   const ExactClip& clip, const float* losses, double* factors,
                   StepTotals* totals);

// sum (P) += the steps of all examples.
void AddSteps(cudaStream_t stream, const ExactLayers& layers, int B,
              const double* factors, std::int64_t* sum);

struct ExactUpdate {
  int log_sigma = 0;
  double step = 1;  // of the grid, scaled: what the gradient is counted in
  double learning_rate = 0;
};

// gradient = (sum + noise) step; weights -= learning_rate gradient.
void AddExactNoise(cudaStream_t stream, const StepHead* head,
                   const ExactUpdate& update, std::size_t P,
                   const std::int64_t* sum, float* gradient, float* weights);

}  // namespace hearsay::model::cuda
