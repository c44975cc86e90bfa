// Gaussian noise of the private sum: the one place where it is drawn, but for
// steps on a GPU (model/cuda/noise.h, under a key from SecureRandom).
//
// Box-Muller in double from 64-bit uniforms in (0, 1], so tails reach beyond
// 8 sigma (24-bit uniforms stop at 5.8). Known limit, stated in README: adding
// in floating point leaves the rounding attacks of Mironov 2012 and Haney et
// al. 2022 open in theory; exact noise (grid_sum.h) does not.
#pragma once

#include <span>

#include "dp/random.h"

namespace hearsay::dp {

// Adds independent N(0, stddev^2) to every element of `sum`.
// Requires: stddev >= 0 and finite; 0 adds nothing.
// Throws: std::invalid_argument; as SecureRandom.
void AddGaussianNoise(double stddev, SecureRandom& random,
                      std::span<float> sum);

}  // namespace hearsay::dp
