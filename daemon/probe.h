// Test gradients with known answers, in place of private data: they show what
// exchanges do to convergence, to the mean and to the weight of each node.
#pragma once

#include <memory>
#include <span>

#include "daemon/gradient_source.h"

namespace hearsay::daemon {

// Gradient of 1/2 |w - target|^2. The target of node `index` is 1 at element
// `index` and 0 elsewhere, so element k of the mean's fixed point, times n, is
// the effective weight of node k; elements from dimension/2 on have target 0
// on every node, so started at 1 they show the halving time of the mean.
std::unique_ptr<GradientSource> MakeQuadraticProbe(int index);

// Adds and takes away the same vector, different on each node, in turns: after
// an even number of steps nothing was added, so any drift of the mean comes
// from exchanges, while the nodes never agree.
std::unique_ptr<GradientSource> MakeShakeProbe(int index);

// The initial weights of both: 0 below dimension/2, 1 from there on.
void InitialiseProbe(std::span<float> weights);

}  // namespace hearsay::daemon
