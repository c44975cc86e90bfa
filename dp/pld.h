// Privacy-loss-distribution accountant of the Poisson-subsampled Gaussian:
// epsilon from the distribution of the whole loss, not from its moments, and so
// less than dp/rdp.h's by a tenth or more.
//
// Adjacency, and which way it errs: as dp/rdp.h. Each step is put on a grid
// from above (dp/loss_step.h), steps are summed by FFT (dp/loss_sum.h), and the
// larger epsilon of the two directions counts. What the grid costs is about
// 1e-4 or less for published trainings; it grows with the number of steps, and
// where a step loses much less than a grid point (more than a million steps,
// say) the Renyi bound may be the lower one: dp/accountant.h takes whichever
// is.
//
// Valid for steps fixed beforehand. Where rates or noise are chosen in view of
// what was released, use RdpFilter.
#pragma once

#include <span>

#include "dp/rdp.h"

namespace hearsay::dp {

// The grid of losses; doubled until a distribution fits into 2^18 points.
inline constexpr double kLossGrid = 1e-4;

// Smaller deltas are refused: the worst that rounding in double can do to a sum
// of losses, some 1e-13 a step, would be a visible part of them, or all. RDP
// has no such limit.
inline constexpr double kLeastPldDelta = 1e-9;

// Of all phases together, in any order; infinity when nothing is promised.
// Requires: 1e-9 <= delta < 1; rates and multipliers as RdpAccountant.
// Throws: std::invalid_argument.
double PldEpsilon(std::span<const Releases> phases, double delta,
                  double grid = kLossGrid);

}  // namespace hearsay::dp
