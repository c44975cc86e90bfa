// The loss of one example and its gradient, by one warp. All lanes call.
#pragma once

#include "model/cuda/inline.cuh"
#include "model/spec.h"

namespace hearsay::model::cuda {

struct RowLoss {
  float loss = 0;
  bool correct = false;  // never for kMse
};

__device__ inline RowLoss SoftmaxOfRow(int O, const float* outputs, int label,
                                       float* grad) {
  const int lane = Lane();
  float largest = -INFINITY;
  bool poisoned = false;
  // Of equal outputs the first is the answer.
  const float own = outputs[label];
  bool right = true;
  for (int o = lane; o < O; o += kWarp) {
    const float value = outputs[o];
    poisoned = poisoned || isnan(value);
    largest = fmaxf(largest, value);
    if (o != label) right = right && (o < label ? value < own : value <= own);
  }
  for (int step = kWarp / 2; step > 0; step /= 2)
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, step));
  // fmaxf passes over NaN, which must not be passed over.
  if (__any_sync(kAllLanes, poisoned)) largest = NAN;
  float sum = 0;
  for (int o = lane; o < O; o += kWarp) sum += expf(outputs[o] - largest);
  sum = WarpSum(sum);
  for (int o = lane; o < O; o += kWarp)
    grad[o] = expf(outputs[o] - largest) / sum - (o == label ? 1 : 0);
  return {.loss = logf(sum) - (own - largest),
          .correct = __all_sync(kAllLanes, right) != 0};
}

__device__ inline RowLoss SquaresOfRow(int O, const float* outputs,
                                       const float* labels, float* grad) {
  const float scale = 1.0F / static_cast<float>(O);
  float sum = 0;
  for (int o = Lane(); o < O; o += kWarp) {
    const float difference = outputs[o] - labels[o];
    grad[o] = 2 * scale * difference;
    sum += scale * difference * difference;
  }
  return {.loss = WarpSum(sum)};
}

// outputs (O), labels as in a Batch, grad (O): of the outputs.
__device__ inline RowLoss LossOfRow(Loss loss, int O, const float* outputs,
                                    const float* labels, float* grad) {
  if (loss == Loss::kSoftmaxCrossEntropy)
    return SoftmaxOfRow(O, outputs, static_cast<int>(labels[0]), grad);
  if (loss == Loss::kMse) return SquaresOfRow(O, outputs, labels, grad);
  const float sign = 1 - 2 * labels[0];
  const float s = sign * outputs[0];
  const float e = expf(s < 0 ? s : -s);
  if (Lane() == 0) grad[0] = sign * (s < 0 ? e : 1.0F) / (1 + e);
  return {.loss = (s < 0 ? 0 : s) + logf(1 + e),
          .correct = labels[0] > 0 ? outputs[0] > 0 : outputs[0] <= 0};
}

}  // namespace hearsay::model::cuda
