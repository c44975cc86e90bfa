// One kernel for all of a small model's step: rows are gathered and go forward
// and backward, are clipped and summed, in the shared memory of one block,
// which holds all weights; the block that is last to end adds the noise and
// moves the weights. What the general path spends on launching twenty kernels
// of a few microseconds each is most of such a step.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>

#include "model/cuda/api.h"
#include "model/cuda/kernels.h"

namespace hearsay::model::cuda {

struct SmallLayer {
  int inputs = 0, units = 0;
  int stride = 0;  // of a row of weights in shared memory: odd, so that threads
                   // that read a column touch different banks
  Activation activation = Activation::kNone;
  int weight = 0, bias = 0;  // offsets into the flat parameters
  // Offsets into shared memory, in floats.
  int shared_weight = 0, shared_bias = 0;
  int in = 0, z = 0, out = 0, grad = 0;  // (rows of a block, width)
};

struct SmallPlan {
  SmallLayer layers[kMostLayers];
  int layer_count = 0;
  int inputs = 0, outputs = 0, label_width = 1;
  int parameters = 0;
  Loss loss = Loss::kSoftmaxCrossEntropy;
  int shared_floats = 0;
};

// Nothing if the model does not fit. Requires: the device is set.
std::optional<SmallPlan> MakeSmallPlan(const Plan& plan);

// In device memory; sum and arrived are 0 before a step's first slice.
struct SmallTerms {
  const float* features = nullptr;  // of the shard, as are the labels
  const float* labels = nullptr;
  float* weights = nullptr;   // (P)
  float* sum = nullptr;       // (P)
  float* gradient = nullptr;  // (P)
  double* noise = nullptr;    // (P): room
  StepTotals* totals = nullptr;
  unsigned* arrived = nullptr;
  bool last = true;  // of a step's slices
};

// sum += the clipped sum over the head's `count` rows. After the last slice
// gradient = (sum + noise) scale, weights -= learning_rate gradient, sum = 0.
// The head and the rows may lie in pinned memory of the host.
void AddSmallClippedSum(cudaStream_t stream, const SmallPlan& plan,
                        const StepHead* head, const std::uint32_t* rows,
                        int count, const SmallTerms& terms);

}  // namespace hearsay::model::cuda
