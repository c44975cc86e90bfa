// One run of values made to have mean 0 and variance 1, as PyTorch's norms do
// (biased variance, plus 1e-5), and the way back. In double: a run whose
// squares exceed float32 has a mean and a variance, too.
#pragma once

#include <cstddef>

namespace hearsay::model::cpu {

// normalised = (x - mean) * rate, where rate = 1 / sqrt(variance + 1e-5), which
// is returned. A value that is not finite spoils the whole run.
double Normalise(std::size_t n, const float* x, float* normalised);

// grad: with respect to what Normalise wrote; grad_in, with respect to x, is
// overwritten.
void BackThroughNormalise(std::size_t n, double rate, const float* normalised,
                          const float* grad, float* grad_in);

}  // namespace hearsay::model::cpu
