#include "model/cpu/losses.h"

#include <cstddef>

#include "model/cpu/simd.h"

namespace hearsay::model::cpu {

namespace {

// grad = outputs less the row's largest; losses = minus the label's.
// Then exp and log run over whole arrays, where they are vector code however
// few classes there are.
HEARSAY_VECTORISE
void SubtractLargest(int B, int O, const float* outputs, const float* labels,
                     float* losses, float* grad) {
  for (int b = 0; b < B; ++b, outputs += O, grad += O) {
    float largest = outputs[0];
    for (int o = 1; o < O; ++o)
      largest = outputs[o] > largest ? outputs[o] : largest;
    for (int o = 0; o < O; ++o) grad[o] = outputs[o] - largest;
    losses[b] = -grad[static_cast<int>(labels[b])];
  }
}

HEARSAY_VECTORISE
void Exponentials(std::size_t n, float* values) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) values[i] = ::expf(values[i]);
}

HEARSAY_VECTORISE
void NormaliseRows(int B, int O, const float* labels, float* grad,
                   float* sums) {
  for (int b = 0; b < B; ++b, grad += O) {
    float sum = 0;
    for (int o = 0; o < O; ++o) sum += grad[o];
    for (int o = 0; o < O; ++o) grad[o] /= sum;
    grad[static_cast<int>(labels[b])] -= 1;
    sums[b] = sum;
  }
}

HEARSAY_VECTORISE
void AddLogarithms(int B, const float* sums, float* losses) {
#pragma omp simd
  for (int b = 0; b < B; ++b) losses[b] += ::logf(sums[b]);
}

void SoftmaxCrossEntropy(int B, int O, const float* outputs,
                         const float* labels, const LossResults& results) {
  const auto n = static_cast<std::size_t>(B) * static_cast<std::size_t>(O);
  SubtractLargest(B, O, outputs, labels, results.losses, results.grad);
  Exponentials(n, results.grad);
  NormaliseRows(B, O, labels, results.grad, results.scratch);
  AddLogarithms(B, results.scratch, results.losses);
}

// In terms of the wrong-way margin s (-z for label 1, z for label 0): the loss
// is softplus(s) and its slope sigmoid(s), with no cancellation near 0 or 1.
HEARSAY_VECTORISE
void BinaryCrossEntropy(int B, const float* outputs, const float* labels,
                        float* losses, float* grad) {
#pragma omp simd
  for (int b = 0; b < B; ++b) {
    const float sign = 1 - 2 * labels[b];
    const float s = sign * outputs[b];
    const float e = ::expf(s < 0 ? s : -s);
    const float positive = s < 0 ? 0 : s;
    losses[b] = positive + ::logf(1 + e);
    grad[b] = sign * (s < 0 ? e : 1.0f) / (1 + e);
  }
}

HEARSAY_VECTORISE
void SquaredError(int B, int O, const float* outputs, const float* labels,
                  float* losses, float* grad) {
  const float scale = 1.0f / static_cast<float>(O);
  for (int b = 0; b < B; ++b, outputs += O, labels += O, grad += O) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int o = 0; o < O; ++o) {
      const float difference = outputs[o] - labels[o];
      grad[o] = 2 * scale * difference;
      sum += scale * difference * difference;
    }
    losses[b] = sum;
  }
}

bool LargestIs(int label, int O, const float* outputs) {
  const float own = outputs[label];
  for (int o = 0; o < O; ++o) {
    if (o == label) continue;
    const bool below = o < label ? outputs[o] < own : outputs[o] <= own;
    if (!below) return false;
  }
  return true;
}

}  // namespace

void LossGradients(Loss loss, int B, int O, const float* outputs,
                   const float* labels, const LossResults& results) {
  switch (loss) {
    case Loss::kSoftmaxCrossEntropy:
      return SoftmaxCrossEntropy(B, O, outputs, labels, results);
    case Loss::kBinaryCrossEntropy:
      return BinaryCrossEntropy(B, outputs, labels, results.losses,
                                results.grad);
    case Loss::kMse:
      return SquaredError(B, O, outputs, labels, results.losses, results.grad);
  }
}

bool LabelsInRange(Loss loss, int B, int O, const float* labels) {
  if (loss == Loss::kMse) return true;
  const int classes = loss == Loss::kBinaryCrossEntropy ? 2 : O;
  bool all = true;
  for (int b = 0; b < B; ++b) {
    // In this order: converting a NaN or a huge float to int is undefined.
    all = all && labels[b] >= 0 && labels[b] < static_cast<float>(classes) &&
          labels[b] == static_cast<float>(static_cast<int>(labels[b]));
  }
  return all;
}

std::int64_t CountCorrect(Loss loss, int B, int O, const float* outputs,
                          const float* labels) {
  if (loss == Loss::kMse) return 0;
  std::int64_t correct = 0;
  for (int b = 0; b < B; ++b, outputs += O) {
    const bool right = loss == Loss::kBinaryCrossEntropy
                           ? (labels[b] > 0 ? outputs[0] > 0 : outputs[0] <= 0)
                           : LargestIs(static_cast<int>(labels[b]), O, outputs);
    correct += right ? 1 : 0;
  }
  return correct;
}

}  // namespace hearsay::model::cpu
