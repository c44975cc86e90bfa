// What one step may give away, exactly: the hockey-stick divergence of the
// Poisson-subsampled Gaussian, delta as a function of epsilon.
//
// Source: privacy.md 2.3; subsampling turns the curve of the Gaussian
// (Balle and Wang 2018, arXiv:1805.06530, Theorem 8) into its own by a change
// of variable (Balle, Barthe, Gaboardi 2018, arXiv:1807.01647, Theorem 2).
#pragma once

namespace hearsay::dp {

// Which of the two neighbouring data sets the output really came from. Neither
// direction is the worse one for every mechanism, so both are composed, each
// with its own kind, and the larger epsilon counts (Lebeda et al. 2024).
enum class Neighbour {
  kRemove,  // With the record: the mixture against the plain Gaussian.
  kAdd,     // Without it: the plain Gaussian against the mixture.
};

// To ten digits and more. Requires: 0 <= q <= 1, 0 < sigma < infinity, epsilon
// finite. Throws: std::invalid_argument.
double StepDelta(double sample_rate, double noise_multiplier, double epsilon,
                 Neighbour neighbour);

// The least epsilon >= 0, rounded up, that unsampled Gaussian noise has at
// `delta`: of steps with multipliers sigma_i, `ratio` is sqrt(sum sigma_i^-2).
// Requires: 0 <= ratio < infinity, 0 < delta < 1.
double GaussianEpsilon(long double ratio, double delta);

}  // namespace hearsay::dp
