// A clip norm that follows the gradients: each step releases, with noise, how
// many of them were within it, and moves it towards the norm that a given share
// of them is within.
//
// The count is of the same sample as the gradients and is charged with them:
// both together are one Gaussian mechanism of multiplier z, of which the count
// takes a part (Andrew et al. 2021, arXiv:1905.03871, Theorem 1):
//
//   z^-2 = z_gradient^-2 + (2 sigma_count)^-2
//
// since one record moves the centred count by a half. The clip norm is then a
// function of what was released: egress class released.
#pragma once

#include "dp/random.h"

namespace hearsay::dp {

struct AdaptiveClipTerms {
  double initial = 1;           // clip norm of the first step
  double quantile = 0.5;        // share of gradients that it should not touch
  double noise_multiplier = 1;  // z, that is charged
  double expected_batch = 0;    // sample rate times the public size: public
};

// Threads: one at a time.
class AdaptiveClip {
 public:
  // Requires: initial, noise_multiplier and expected_batch finite and above 0,
  // 0 < quantile < 1, noise_multiplier < 2 count_stddev.
  // Throws: std::invalid_argument, which says how large a batch has to be.
  explicit AdaptiveClip(const AdaptiveClipTerms& terms);

  double norm() const { return norm_; }
  // Of the noise of the count: a twentieth of the expected batch.
  double count_stddev() const { return count_stddev_; }
  // That the noise of the gradients needs, over norm(): more than z.
  double gradient_multiplier() const { return gradient_multiplier_; }

  // After a step of `batch` records of which `within` were not clipped: both
  // private, and seen here alone. Throws: as SecureRandom.
  void Update(double within, double batch, SecureRandom& random);

  // Goes on where another left off. Throws: std::invalid_argument.
  void Restore(double norm);

 private:
  const AdaptiveClipTerms terms_;
  const double count_stddev_;
  const double gradient_multiplier_;
  double norm_;
};

}  // namespace hearsay::dp
