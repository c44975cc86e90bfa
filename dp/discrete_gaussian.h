// The discrete Gaussian: integers x with probability proportional to
// exp(-x^2 / (2 sigma^2)), sampled exactly.
//
// No floating point and no table: every decision compares uniform bits with a
// rational number, so that what is drawn has the very distribution that is
// accounted for, and not one whose last bits tell what it was added to
// (Mironov 2012; Haney et al. 2022). It costs some ten times a rounded normal.
//
// Its Renyi divergences under a shift are those of the Gaussian at most, with
// Poisson sampling too (ops/decisions/0030). How long a draw takes depends on
// what is drawn and on no record.
// Source: Canonne, Kamath, Steinke 2020 (arXiv:2004.00010), Algorithms 1 to 3,
// with sigma a power of two and the Laplace of the same scale.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dp/random.h"

namespace hearsay::dp {

inline constexpr int kMostLogSigma = 30;

// Threads: one at a time.
class DiscreteGaussian {
 public:
  // sigma = 2^log_sigma. Requires: 0 <= log_sigma <= kMostLogSigma.
  // Throws: std::invalid_argument.
  explicit DiscreteGaussian(int log_sigma);

  // Adds an independent draw to every element. Throws: as SecureRandom.
  void AddTo(SecureRandom& random, std::span<std::int64_t> sum);

 private:
  std::uint64_t Word();
  bool Bernoulli(std::uint64_t numerator, std::uint64_t denominator);
  bool BernoulliExp(std::uint64_t numerator, int log_denominator);
  bool BernoulliExpOfOne();
  std::int64_t Laplace();
  std::int64_t Draw();

  const int log_sigma_;
  SecureRandom* random_ = nullptr;  // of the call
  std::array<std::uint64_t, 1024> words_{};
  std::size_t next_ = 0;
};

}  // namespace hearsay::dp
