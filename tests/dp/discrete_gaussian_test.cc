// The discrete Gaussian against its own formula, summed up; and that its
// Renyi divergences are those which are accounted for.
#include "dp/discrete_gaussian.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "dp/rdp.h"
#include "tests/dp/chance.h"
#include "tests/dp/discrete_gaussian_laws.h"

namespace hearsay::dp {
namespace {

constexpr double kFalseAlarm = 1e-10;
constexpr std::size_t kDraws = 400'000;

std::vector<std::int64_t> Draw(int log_sigma, std::size_t count = kDraws) {
  DiscreteGaussian noise(log_sigma);
  SecureRandom random;
  std::vector<std::int64_t> values(count);
  noise.AddTo(random, values);
  return values;
}

TEST(DiscreteGaussianTest, FollowsItsFormula) {
  for (int log_sigma = 0; log_sigma <= 5; ++log_sigma)
    tests::ExpectMass(Draw(log_sigma), log_sigma, kFalseAlarm);
}

TEST(DiscreteGaussianTest, OfAnySizeIsNormalBetweenItsIntegers) {
  for (const int log_sigma : {10, 20, 28, kMostLogSigma})
    tests::ExpectNormal(Draw(log_sigma), log_sigma, kFalseAlarm);
}

TEST(DiscreteGaussianTest, HasUniformLastBits) {
  tests::ExpectUniformLastBits(Draw(28), kFalseAlarm);
}

TEST(DiscreteGaussianTest, IsAddedToWhatIsThereAndIndependent) {
  DiscreteGaussian noise(20);
  SecureRandom random;
  constexpr std::int64_t kThere = std::int64_t{1} << 60;
  std::vector<std::int64_t> one(kDraws, kThere);
  std::vector<std::int64_t> two(kDraws, -kThere);
  noise.AddTo(random, one);
  noise.AddTo(random, two);
  double product = 0;
  double neighbours = 0;
  for (std::size_t i = 0; i < kDraws; ++i) {
    const double x = std::ldexp(static_cast<double>(one[i] - kThere), -20);
    const double y = std::ldexp(static_cast<double>(two[i] + kThere), -20);
    product += x * y;
    if (i > 0)
      neighbours +=
          x * std::ldexp(static_cast<double>(one[i - 1] - kThere), -20);
  }
  EXPECT_LT(std::abs(product), tests::kFarMean * std::sqrt(kDraws));
  EXPECT_LT(std::abs(neighbours), tests::kFarMean * std::sqrt(kDraws));
}

TEST(DiscreteGaussianTest, RefusesASizeThatItCannotDraw) {
  EXPECT_THROW(DiscreteGaussian(-1), std::invalid_argument);
  EXPECT_THROW(DiscreteGaussian(kMostLogSigma + 1), std::invalid_argument);
}

// log of the sum over all integers of p0(x) (1 - q + q p1(x) / p0(x))^alpha,
// p1 shifted by `shift`: the mechanism's own moment, without the Gaussian's
// formula.
double OwnLogMoment(double q, double sigma, std::int64_t shift, double alpha) {
  const auto s = static_cast<double>(shift);
  double total = 0;
  const auto mass = tests::DiscreteGaussianMass(sigma);
  // Large orders look far beyond the mass: sum in logarithms, relative to 0.
  const double log_zero = std::log(mass.at(0));
  std::vector<double> logs;
  const auto most =
      static_cast<std::int64_t>(alpha * s + 14 * sigma + 14 * s + 14);
  for (std::int64_t x = -most; x <= most; ++x) {
    const auto d = static_cast<double>(x);
    const double log_p0 = log_zero - d * d / (2 * sigma * sigma);
    const double ratio = (2 * d * s - s * s) / (2 * sigma * sigma);
    const double log_mix =
        ratio > 0 ? ratio + std::log(q + (1 - q) * std::exp(-ratio))
                  : std::log1p(q * std::expm1(ratio));
    logs.push_back(log_p0 + alpha * log_mix);
  }
  const double top = *std::max_element(logs.begin(), logs.end());
  for (const double one : logs) total += std::exp(one - top);
  return top + std::log(total);
}

TEST(DiscreteGaussianTest, HasTheMomentsThatAreAccountedFor) {
  for (const double sigma : {4.0, 16.0})
    for (const std::int64_t shift : {1, 3, 8})
      for (const double q : {0.001, 0.02, 0.3, 1.0})
        for (const double alpha : RenyiOrders()) {
          if (alpha > 64) continue;
          const double accounted =
              LogMoment(q, sigma / static_cast<double>(shift), alpha);
          const double own = OwnLogMoment(q, sigma, shift, alpha);
          EXPECT_LE(own, accounted + 1e-11 * (1 + accounted))
              << sigma << " " << shift << " " << q << " " << alpha;
          EXPECT_GE(own, accounted - 1e-9 * (1 + accounted));
        }
}

}  // namespace
}  // namespace hearsay::dp
