#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "dp/box_muller.h"
#include "dp/gaussian_noise.h"
#include "tests/dp/chance.h"

namespace hearsay::dp {
namespace {

using tests::kFarMean;

constexpr double kFalseAlarm = 1e-10;
constexpr std::uint64_t kAll = std::numeric_limits<std::uint64_t>::max();

std::vector<float> Noise(double stddev, std::size_t count) {
  SecureRandom random;
  std::vector<float> noise(count);
  AddGaussianNoise(stddev, random, noise);
  return noise;
}

double NormalCdf(double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; }

// Both normals of one pair of words.
std::array<double, 2> Pair(std::uint64_t radius, std::uint64_t angle) {
  const std::array<std::uint64_t, 2> words{radius, angle};
  std::array<double, 2> normals{};
  BoxMuller(words, normals);
  return normals;
}

TEST(BoxMullerTest, ReachesBeyondNineSigmaAndNoFurtherThan64BitsCan) {
  const auto [x, y] = Pair(0, 1);
  EXPECT_NEAR(std::hypot(x, y), std::sqrt(2 * 64 * std::numbers::ln2), 1e-12);
  EXPECT_GT(std::hypot(x, y), 9.4);
}

TEST(BoxMullerTest, GivesZeroAndNotInfinityForTheLargestWord) {
  for (const std::uint64_t angle : {std::uint64_t{0}, kAll / 3, kAll}) {
    const auto [x, y] = Pair(kAll, angle);
    EXPECT_EQ(x, 0);
    EXPECT_EQ(y, 0);
  }
}

// The tail is where a uniform of 24, 32 or 53 bits would go wrong: each of the
// smallest words must have a radius of its own. Oracle: long double libm.
TEST(BoxMullerTest, KeepsEveryBitOfTheRadiusInTheTail) {
  for (int bit = 0; bit < 64; ++bit)
    for (const std::uint64_t extra : {0, 1, 5}) {
      const std::uint64_t word = (std::uint64_t{1} << bit) + extra;
      const long double u = (static_cast<long double>(word) + 1) * 0x1p-64L;
      const auto [x, y] = Pair(word, kAll / 5);
      const auto expected = static_cast<double>(std::sqrt(-2 * std::log(u)));
      EXPECT_NEAR(std::hypot(x, y), expected, 4e-15 * (1 + expected)) << word;
    }
}

TEST(BoxMullerTest, TurnsTheAngleOnceRoundTheCircle) {
  const std::uint64_t word = kAll / 7;
  const double radius = std::hypot(Pair(word, 0)[0], Pair(word, 0)[1]);
  for (int eighth = 0; eighth < 8; ++eighth) {
    const double angle = 2 * std::numbers::pi * eighth / 8 - std::numbers::pi;
    const auto [x, y] = Pair(word, static_cast<std::uint64_t>(eighth) << 61);
    EXPECT_NEAR(x, radius * std::cos(angle), 1e-14);
    EXPECT_NEAR(y, radius * std::sin(angle), 1e-14);
  }
}

TEST(BoxMullerTest, AgreesWithTheLibraryWordByWord) {
  std::mt19937_64 generator(7);
  for (const std::size_t pairs : {1, 2, 3, 7, 8, 9, 1000, 1024}) {
    std::vector<std::uint64_t> words(2 * pairs);
    for (auto& word : words) word = generator();
    std::vector<double> normals(words.size());
    BoxMuller(words, normals);
    for (std::size_t i = 0; i < pairs; ++i) {
      const long double u = (static_cast<long double>(words[i]) + 1) * 0x1p-64L;
      const long double angle =
          (static_cast<long double>(words[pairs + i]) * 0x1p-64L - 0.5L) * 2 *
          std::numbers::pi_v<long double>;
      const long double radius = std::sqrt(-2 * std::log(u));
      EXPECT_NEAR(normals[i], static_cast<double>(radius * std::cos(angle)),
                  1e-14);
      EXPECT_NEAR(normals[pairs + i],
                  static_cast<double>(radius * std::sin(angle)), 1e-14);
    }
  }
}

// The statistical tests below fail a correct program less than once in 1e9
// runs, all of them together.
TEST(GaussianNoiseTest, HasTheMeanAndVarianceAskedFor) {
  const double stddev = 3.5;
  const auto noise = Noise(stddev, 4'000'000);
  const auto n = static_cast<double>(noise.size());
  double sum = 0;
  double squares = 0;
  for (const float x : noise) {
    sum += x / stddev;
    squares += (x / stddev) * (x / stddev);
  }
  EXPECT_LT(std::abs(sum / n) * std::sqrt(n), kFarMean);
  // A square of a standard normal has variance 2. At this n the limit is 0.5 %,
  // so a stddev that is 0.3 % wrong fails.
  EXPECT_LT(std::abs(squares / n - 1) * std::sqrt(n / 2), kFarMean);
}

TEST(GaussianNoiseTest, FollowsTheNormalDistribution) {
  auto noise = Noise(1, 1'000'000);
  std::sort(noise.begin(), noise.end());
  const auto n = static_cast<double>(noise.size());
  double distance = 0;
  for (std::size_t i = 0; i < noise.size(); ++i) {
    const double cdf = NormalCdf(noise[i]);
    distance = std::max({distance, cdf - static_cast<double>(i) / n,
                         static_cast<double>(i + 1) / n - cdf});
  }
  EXPECT_LT(distance, tests::KolmogorovLimit(n, kFalseAlarm));
}

TEST(GaussianNoiseTest, HasTheTailsOfTheNormalDistribution) {
  const auto noise = Noise(1, 4'000'000);
  const auto n = static_cast<double>(noise.size());
  for (const double limit : {2.0, 3.0, 4.0, 4.5}) {
    const auto beyond = static_cast<double>(
        std::count_if(noise.begin(), noise.end(),
                      [&](float x) { return std::abs(x) > limit; }));
    const double p = 2 * NormalCdf(-limit);
    EXPECT_NEAR(beyond, n * p, tests::BinomialSlack(n, p, kFalseAlarm))
        << limit;
  }
}

TEST(GaussianNoiseTest, IsIndependentAtEveryDistanceThatTheCodeKnowsOf) {
  // 1024 apart are sine and cosine of one angle, 2048 the next block.
  const auto noise = Noise(1, 2'000'000);
  for (const std::size_t lag : {1, 2, 4, 8, 1023, 1024, 1025, 2048, 4096}) {
    const std::size_t count = noise.size() - lag;
    double product = 0;
    double square = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const double x = noise[i];
      const double y = noise[i + lag];
      product += x * y;
      square += (x * x - 1) * (y * y - 1);
    }
    const double root = std::sqrt(static_cast<double>(count));
    EXPECT_LT(std::abs(product) / root, kFarMean) << lag;
    // Heavier tails than the Gaussian's: twice its limit, and variance 4.
    EXPECT_LT(std::abs(square) / (2 * root), 2 * kFarMean) << lag;
  }
}

TEST(GaussianNoiseTest, IsNewInEveryCall) {
  SecureRandom random;
  std::vector<float> first(100'000);
  std::vector<float> second(100'000);
  AddGaussianNoise(1, random, first);
  AddGaussianNoise(1, random, second);
  const double product =
      std::inner_product(first.begin(), first.end(), second.begin(), 0.0);
  EXPECT_LT(std::abs(product) / std::sqrt(1e5), kFarMean);
}

TEST(GaussianNoiseTest, IsAddedToWhatIsThere) {
  SecureRandom random;
  std::vector<float> sum(100'000, 1000.0F);
  AddGaussianNoise(1, random, sum);
  double mean = 0;
  for (const float x : sum) {
    ASSERT_NEAR(x, 1000, 10);
    mean += (x - 1000) / 1e5;
  }
  EXPECT_LT(std::abs(mean) * std::sqrt(1e5), kFarMean);
}

TEST(GaussianNoiseTest, ReachesEveryElementOfAnyLength) {
  SecureRandom random;
  for (const std::size_t size : {0, 1, 2, 3, 2047, 2048, 2049, 5001}) {
    std::vector<float> guarded(size + 2, 0.0F);
    AddGaussianNoise(1, random, std::span(guarded).subspan(1, size));
    EXPECT_EQ(guarded.front(), 0);
    EXPECT_EQ(guarded.back(), 0);
    // A float normal is 0 once in 1e13 draws or so.
    EXPECT_EQ(std::count(guarded.begin(), guarded.end(), 0.0F), 2) << size;
  }
}

TEST(GaussianNoiseTest, ChangesNothingWithoutAStandardDeviation) {
  SecureRandom random;
  std::vector<float> sum{1, 2, 3};
  AddGaussianNoise(0, random, sum);
  EXPECT_EQ(sum, (std::vector<float>{1, 2, 3}));
}

TEST(GaussianNoiseTest, RefusesAStandardDeviationThatIsNone) {
  SecureRandom random;
  std::vector<float> sum{1, 2, 3};
  for (const double bad : {-1.0, -1e-300, std::nan(""), HUGE_VAL, -HUGE_VAL})
    EXPECT_THROW(AddGaussianNoise(bad, random, sum), std::invalid_argument);
  EXPECT_EQ(sum, (std::vector<float>{1, 2, 3}));
}

}  // namespace
}  // namespace hearsay::dp
