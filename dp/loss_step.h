// The privacy loss of one step as a distribution on a grid, for composing.
//
// Connect the dots (Doroshenko, Ghazi, Kamath, Kumar, Manurangsi 2022,
// arXiv:2207.04380, Algorithm 1): between neighbouring grid points delta, as a
// function of e^epsilon, is replaced by the chord above it. That is the same as
// to move the mass of each cell to the cell's two ends so that its probability
// under both data sets stays what it was, which is how it is computed here: a
// sum of masses keeps digits that second differences of delta would lose.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "dp/hockey_stick.h"

namespace hearsay::dp {

struct LossPmf {
  std::int64_t first = 0;    // mass[i] is of the loss (first + i) * grid.
  std::vector<double> mass;  // Under the data set that the output came from.
  double infinite = 0;       // The rest: losses beyond the grid.
};

// Both directions of one step, from the same cells.
struct StepLoss {
  LossPmf remove;
  LossPmf add;
};

// No distribution has more points than this; a wider one needs a coarser grid.
inline constexpr std::int64_t kMostPoints = std::int64_t{1} << 18;

// Dominates the true loss: composed, it overstates delta and never understates
// it (but for rounding, see dp/pld.h). `tail`: the probability on either side
// that is not resolved but counted as an infinite loss, or moved up.
// Nothing if it had more than kMostPoints.
// Requires: 0 < q <= 1, 0 < sigma < infinity, grid > 0, 0 < tail < 1/2.
std::optional<StepLoss> DiscretiseStep(double sample_rate,
                                       double noise_multiplier, double grid,
                                       double tail);

}  // namespace hearsay::dp
