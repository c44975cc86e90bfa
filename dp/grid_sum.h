// A sum of clipped vectors on a grid of integers, and its exact noise.
//
// Every vector is clipped, brought onto the grid by itself, and checked there
// in integers: its Euclidean length is at most `reach` grid steps, whatever
// rounding did before. Integers add up to the same sum in any order, so what
// one record changes is exactly its own vector, and the noise is a discrete
// Gaussian whose standard deviation is noise_multiplier times `reach` at least.
// Floating point comes after the noise, where it is post-processing
// (privacy.md 4: the attacks on fl(x + noise) have nothing to see).
//
// Shapes: P elements a vector. Units: a grid step is clip_norm / reach.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dp/discrete_gaussian.h"
#include "dp/random.h"

namespace hearsay::dp {

// The grid of a clip norm and a noise multiplier: also for sums that are formed
// elsewhere, as on a GPU.
struct GridTerms {
  double clip_norm = 1;
  int log_sigma = 0;       // sigma = 2^log_sigma, in grid steps
  std::int64_t reach = 1;  // the clip norm in grid steps, 2^30 at most
};
// Requires: both finite and positive, noise_multiplier in [2^-30, 2^30].
// Throws: std::invalid_argument.
GridTerms GridTermsFor(double clip_norm, double noise_multiplier);

// What a clipped vector's length is multiplied with, for the rounding of the
// norm and of the products: 2^-53 each, of sums of fewer than 2^28 of them.
// What it leaves is checked in integers.
inline constexpr double kGridMargin = 1 - 0x1p-24;

// Threads: one at a time.
class GridSum {
 public:
  // As GridTermsFor.
  GridSum(std::size_t size, double clip_norm, double noise_multiplier);

  enum class Fate {
    kWhole,
    kClipped,   // it was longer than clip_norm
    kRejected,  // it adds nothing: it was not finite
  };
  // Requires: vector.size() == size.
  Fate Add(std::span<const float> vector);

  // Independent noise on every element. Throws: as SecureRandom.
  void AddNoise(SecureRandom& random) { noise_.AddTo(random, sum_); }

  // values = the sum times `scale`; then the sum is 0 again.
  void TakeInto(double scale, std::span<float> values);

  // The length, in grid steps, that no vector exceeds.
  std::int64_t reach() const { return terms_.reach; }
  // In grid steps: a power of two, at least noise_multiplier * reach.
  std::int64_t sigma() const { return std::int64_t{1} << terms_.log_sigma; }
  std::span<const std::int64_t> sum() const { return sum_; }

 private:
  const GridTerms terms_;
  DiscreteGaussian noise_;
  std::vector<std::int64_t> sum_;
  std::vector<std::int32_t> steps_;  // one vector's
};

}  // namespace hearsay::dp
