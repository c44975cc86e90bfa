// What becomes of one parameter when its sum is complete.
#pragma once

#include "model/cuda/kernels.h"

namespace hearsay::model::cuda {

// Gives the gradient.
__device__ inline float UpdateOne(const StepHead& head, float sum, double noise,
                                  float& weight) {
  const double scaled = (static_cast<double>(sum) + noise) * head.scale;
  if (head.learning_rate != 0)
    weight = static_cast<float>(static_cast<double>(weight) -
                                head.learning_rate * scaled);
  return static_cast<float>(scaled);
}

}  // namespace hearsay::model::cuda
