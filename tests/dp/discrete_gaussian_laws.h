// What draws of a discrete Gaussian must look like, by its own formula. Whoever
// draws them: dp/discrete_gaussian.h, or a device (model/cuda/exact_noise.h).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numbers>
#include <vector>

#include "tests/dp/chance.h"

namespace hearsay::tests {

// exp(-x^2 / (2 sigma^2)) over its sum.
inline std::map<std::int64_t, double> DiscreteGaussianMass(double sigma) {
  const auto most = static_cast<std::int64_t>(12 * sigma + 12);
  std::map<std::int64_t, double> mass;
  double total = 0;
  for (std::int64_t x = -most; x <= most; ++x) {
    const auto d = static_cast<double>(x);
    total += mass[x] = std::exp(-d * d / (2 * sigma * sigma));
  }
  for (auto& [x, m] : mass) m /= total;
  return mass;
}

// For sigmas whose integers can be counted.
inline void ExpectMass(const std::vector<std::int64_t>& draws, int log_sigma,
                       double false_alarm) {
  const auto all = static_cast<double>(draws.size());
  std::map<std::int64_t, double> counts;
  for (const auto x : draws) ++counts[x];
  double chi_square = 0, rest = all, rest_expected = all;
  int bins = 0;
  for (const auto& [x, mass] :
       DiscreteGaussianMass(std::ldexp(1.0, log_sigma))) {
    const double expected = mass * all;
    if (expected < 50) continue;
    chi_square += std::pow(counts[x] - expected, 2) / expected;
    rest -= counts[x];
    rest_expected -= expected;
    ++bins;
  }
  chi_square += std::pow(rest - rest_expected, 2) / rest_expected;
  EXPECT_LT(chi_square, ChiSquareLimit(bins, false_alarm))
      << "sigma 2^" << log_sigma;
}

// Where its integers are too many to count it is the normal distribution: the
// distance is some 2^-30.
inline void ExpectNormal(std::vector<std::int64_t> draws, int log_sigma,
                         double false_alarm) {
  std::sort(draws.begin(), draws.end());
  const auto all = static_cast<double>(draws.size());
  const double sigma = std::ldexp(1.0, log_sigma);
  double distance = 0, sum = 0, squares = 0, fourth = 0, far = 0;
  for (std::size_t i = 0; i < draws.size(); ++i) {
    const double x = static_cast<double>(draws[i]) / sigma;
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
    far += std::abs(x) > 3 ? 1 : 0;
    const double cdf = std::erfc(-(x + 0.5 / sigma) / std::numbers::sqrt2) / 2;
    distance =
        std::max(distance, std::abs(cdf - (static_cast<double>(i) + 1) / all));
  }
  // Ties of the smallest sigma reach over its steps.
  EXPECT_LT(distance, KolmogorovLimit(all, false_alarm) +
                          1 / (sigma * std::sqrt(2 * std::numbers::pi)));
  EXPECT_NEAR(sum / all, 0, kFarMean / std::sqrt(all));
  EXPECT_NEAR(squares / all, 1, kFarMean * std::sqrt(2.0 / all));
  EXPECT_NEAR(fourth / all, 3, kFarMean * std::sqrt(96.0 / all));
  const double beyond = std::erfc(3 / std::numbers::sqrt2);
  EXPECT_NEAR(far, all * beyond,
              BinomialSlack(all, beyond, false_alarm) + all * 0.01 / sigma);
}

// What rounded noise has not: its last bits tell nothing. For large sigmas.
inline void ExpectUniformLastBits(const std::vector<std::int64_t>& draws,
                                  double false_alarm) {
  std::vector<double> counts(256);
  for (const auto x : draws) ++counts[static_cast<std::size_t>(x & 255)];
  const double expected = static_cast<double>(draws.size()) / 256;
  double chi_square = 0;
  for (const double count : counts)
    chi_square += std::pow(count - expected, 2) / expected;
  EXPECT_LT(chi_square, ChiSquareLimit(255, false_alarm));
}

}  // namespace hearsay::tests
