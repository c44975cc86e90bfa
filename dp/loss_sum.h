// The sum of the losses of many steps, and the epsilon that it keeps.
//
// A sum's distribution is the product of the steps' Fourier transforms, each to
// the power of its steps. Done plainly, rounding leaves some 1e-12 everywhere,
// which buries a small delta: what counts is far out in the tail. So each
// distribution is tilted first, multiplied by e^(theta loss), which moves its
// middle to where epsilon will be, and the sum is tilted back: errors are then
// small relative to the tail (Wilson and Keich 2016, arXiv:1501.01041). The
// tilt also keeps the window short. Whatever theta is, the result is an upper
// bound; a poor one only makes it loose.
#pragma once

#include <optional>
#include <span>

#include "dp/tilt.h"

namespace hearsay::dp {

// The least epsilon >= 0 for which the sum of all steps keeps delta(epsilon) <=
// `delta`; infinity if none can be promised. Counted against delta: infinite
// losses, what lies beyond the window, and the rounding errors of the transform
// at their worst. Nothing if more than kMostPoints would be needed.
// Requires: phases not empty, all on the same grid; 0 < delta < 1.
std::optional<double> EpsilonOfSum(std::span<const LossPhase> phases,
                                   double grid, double delta);

}  // namespace hearsay::dp
