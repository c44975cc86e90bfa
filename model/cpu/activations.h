// Activations, and their derivatives from what the forward pass left behind.
//
// Shapes: B rows of U units, row-major.
#pragma once

#include <cstddef>

#include "model/spec.h"

namespace hearsay::model::cpu {

// True if the derivative needs the values before the activation, so that they
// may not be overwritten: for the others the output says enough.
bool KeepsInput(Activation activation);

// z += bias, row by row; then out = activation(z). NaN stays NaN.
// Requires: out == z exactly if not KeepsInput(activation).
void AddBiasAndActivate(Activation activation, int B, int U, const float* bias,
                        float* z, float* out);

// out = activation(z) over n values; out == z is allowed if not KeepsInput.
void Activate(Activation activation, std::size_t n, const float* z, float* out);

// grad_in = grad * activation'(z), over n values, where out = activation(z).
// grad_in == grad is allowed.
void MultiplyByDerivative(Activation activation, std::size_t n, const float* z,
                          const float* out, const float* grad, float* grad_in);

}  // namespace hearsay::model::cpu
