// Loss of each example, and its gradient with respect to the network's outputs.
// Stable: no finite output overflows on the way (softmax and sigmoid are taken
// from the largest value down).
//
// Shapes: B examples, O outputs; outputs (B, O); labels (B), or (B, O) for MSE.
#pragma once

#include <cstdint>

#include "model/spec.h"

namespace hearsay::model::cpu {

// Overwritten.
struct LossResults {
  float* losses;   // (B)
  float* grad;     // (B, O)
  float* scratch;  // (B)
};

// An example whose outputs are not finite gets a loss that is not finite, or a
// gradient that is not, or (a loss saturated at an infinite margin) zero.
// Requires: labels in range (LabelsInRange).
void LossGradients(Loss loss, int B, int O, const float* outputs,
                   const float* labels, const LossResults& results);

// Whether every label means something: a class index, 0 or 1, or (MSE)
// anything.
bool LabelsInRange(Loss loss, int B, int O, const float* labels);

// Examples whose label has the largest output (ties go to the lowest class), or
// is on the output's side of 0; 0 for MSE. NaN is never right.
std::int64_t CountCorrect(Loss loss, int B, int O, const float* outputs,
                          const float* labels);

}  // namespace hearsay::model::cpu
