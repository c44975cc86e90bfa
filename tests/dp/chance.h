// Limits for tests of secure randomness, which cannot be seeded: each is passed
// by a correct program but for a stated, tiny probability.
#pragma once

#include <cmath>

namespace hearsay::tests {

// How far the mean of n independent numbers of variance 1 may be from theirs,
// in units of sqrt(n): a Gaussian passes 6.5 with probability 8e-11.
inline constexpr double kFarMean = 6.5;

// How far a binomial count may be from its mean.
// Source: Bernstein's inequality, two-sided, solved for the distance.
inline double BinomialSlack(double n, double p, double false_alarm) {
  const double log_odds = std::log(2 / false_alarm);
  const double third = log_odds / 3;
  return third + std::sqrt(third * third + 2 * log_odds * n * p * (1 - p));
}

// The least value that a chi-square variable of `degrees` passes with less than
// this probability. Source: Laurent and Massart 2000, Lemma 1.
inline double ChiSquareLimit(double degrees, double false_alarm) {
  const double x = std::log(1 / false_alarm);
  return degrees + 2 * std::sqrt(degrees * x) + 2 * x;
}

// The distance of Kolmogorov and Smirnov that n samples of the right
// distribution pass with less than this probability.
// Source: Massart 1990 (the constant of Dvoretzky, Kiefer and Wolfowitz).
inline double KolmogorovLimit(double n, double false_alarm) {
  return std::sqrt(std::log(2 / false_alarm) / (2 * n));
}

}  // namespace hearsay::tests
