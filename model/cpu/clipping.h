// Per-example gradient norms of a dense layer from its inputs and output
// gradients, and the rescaling of those gradients.
//
// For one example the weight gradient is the outer product of g (O) and a (I),
// and the bias gradient is g itself, so that the squared norm of both together
// is |g|^2 (|a|^2 + 1): exact, and never formed. In double, so that rounding
// cannot make a norm smaller than the truth by more than the clip's margin.
//
// Shapes: B examples, I inputs, O outputs; a (B, I), g (B, O), others (B).
#pragma once

#include <span>

namespace hearsay::model::cpu {

// squared_norms += |g|^2 (|a|^2 + 1); infinite where a or g is not finite or is
// longer than 2^48. Beyond that, float32 products of rescaled rows could lose
// the accuracy that ClipFactors's margin relies on.
void AddSquaredNorms(int B, int I, int O, const float* a, const float* g,
                     double* squared_norms);

struct ClipCount {
  int clipped = 0;
  int rejected = 0;
};

// factors = min(1, clip_norm (1 - 2^-16) / norm): the margin is larger than all
// rounding of a rescaled gradient, so that it can only come out shorter than
// clip_norm. An infinite norm gets 0 and is counted as rejected.
ClipCount ClipFactors(double clip_norm, std::span<const double> squared_norms,
                      std::span<float> factors);

// factors = clip_norm (1 - 2^-16) / (norm + 0.01), of automatic clipping.
// Clipped are those whose norm exceeds clip_norm.
ClipCount AutomaticFactors(double clip_norm,
                           std::span<const double> squared_norms,
                           std::span<float> factors);
// Row b of g *= factors[b].
void ScaleRows(int B, int O, const float* factors, float* g);

// Row b of g *= factors[b], then sums (O) += every row of g.
void ScaleRowsAndAddTo(int B, int O, const float* factors, float* g,
                       float* sums);

// sums (O) += every row of g.
void AddRowsTo(int B, int O, const float* g, float* sums);

// Zeroes every row whose factor is 0: 0 times infinity or NaN would not be 0.
void ZeroRowsWithoutFactor(int B, int width, const float* factors, float* rows);

}  // namespace hearsay::model::cpu
