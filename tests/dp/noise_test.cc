#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <numeric>
#include <random>
#include <span>
#include <stdexcept>
#include <utility>
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

struct Pair {
  double x;
  double y;
};

std::vector<Pair> Pairs(std::span<const std::uint64_t> words) {
  BoxMullerScratch scratch;
  std::vector<double> normals(words.size());
  BoxMuller(words, normals, scratch);
  std::vector<Pair> pairs(words.size() / 2);
  for (std::size_t i = 0; i < pairs.size(); ++i)
    pairs[i] = {normals[i], normals[pairs.size() + i]};
  return pairs;
}

Pair OnePair(std::uint64_t radius, std::uint64_t angle) {
  return Pairs(std::array<std::uint64_t, 2>{radius, angle})[0];
}

struct ExactPair {
  long double x;
  long double y;
};

// Oracle: long double libm.
ExactPair Exact(std::uint64_t radius, std::uint64_t angle) {
  const long double below_one = static_cast<long double>(~radius) * 0x1p-64L;
  const long double log =
      below_one < 0.5L
          ? std::log1p(-below_one)
          : std::log((static_cast<long double>(radius) + 1) * 0x1p-64L);
  const long double r = std::sqrt(-2 * log);
  const std::uint64_t fraction = (angle & ((std::uint64_t{1} << 52) - 1)) | 1;
  const long double theta =
      (static_cast<long double>(fraction) * 0x1p-52L - 0.5L) *
      std::numbers::pi_v<long double> / 2;
  ExactPair pair{r * std::cos(theta), r * std::sin(theta)};
  if ((angle >> 63 & 1) != 0) std::swap(pair.x, pair.y);
  if ((angle >> 62 & 1) != 0) pair = {-pair.x, -pair.y};
  return pair;
}

// In units of 2^-52 of what it should be.
double Error(double value, long double exact) {
  if (exact == 0) return value == 0 ? 0 : HUGE_VAL;
  return static_cast<double>(std::abs((value - exact) / exact) * 0x1p52L);
}

double WorstError(std::span<const std::uint64_t> words) {
  const auto pairs = Pairs(words);
  double worst = 0;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const ExactPair exact = Exact(words[i], words[pairs.size() + i]);
    worst = std::max(
        {worst, Error(pairs[i].x, exact.x), Error(pairs[i].y, exact.y)});
  }
  return worst;
}

// The worst of 4e7 normals is 2.6.
constexpr double kUnits = 3;

TEST(BoxMullerTest, ReachesBeyondNineSigmaAndNoFurtherThan64BitsCan) {
  const auto [x, y] = OnePair(0, 1);
  EXPECT_NEAR(std::hypot(x, y), std::sqrt(2 * 64 * std::numbers::ln2), 1e-14);
  EXPECT_GT(std::hypot(x, y), 9.4);
}

TEST(BoxMullerTest, GivesZeroAndNotInfinityForTheLargestWord) {
  for (const std::uint64_t angle : {std::uint64_t{0}, kAll / 3, kAll}) {
    const auto [x, y] = OnePair(kAll, angle);
    EXPECT_EQ(x, 0);
    EXPECT_EQ(y, 0);
  }
}

TEST(BoxMullerTest, IsExactButForRoundingWhateverTheWordsAndHoweverMany) {
  std::mt19937_64 generator(7);
  for (const std::size_t pairs : {1, 2, 3, 7, 8, 9, 127, 128, 129, 1000, 1024})
    for (int round = 0; round < 20; ++round) {
      std::vector<std::uint64_t> words(2 * pairs);
      for (auto& word : words) word = generator();
      EXPECT_LT(WorstError(words), kUnits) << pairs;
    }
}

// The tail is where a uniform of 24, 32 or 53 bits would go wrong, and next to
// 1 is where one that was rounded before its logarithm was taken would.
TEST(BoxMullerTest, KeepsEveryBitOfTheRadiusInTheTailAndNextToOne) {
  std::mt19937_64 generator(8);
  std::vector<std::uint64_t> words;
  for (int bit = 0; bit < 64; ++bit)
    for (const std::uint64_t extra : {0, 1, 2, 5, 1000}) {
      const std::uint64_t word = (std::uint64_t{1} << bit) + extra;
      words.insert(words.end(), {word, word - 1 - 2 * extra, ~word});
    }
  const std::size_t pairs = words.size();
  for (std::size_t i = 0; i < pairs; ++i) words.push_back(generator());
  EXPECT_LT(WorstError(words), kUnits);
}

// The logarithm's pieces meet at sqrt(1/2) times powers of two.
TEST(BoxMullerTest, IsExactWhereItsPiecesMeet) {
  std::mt19937_64 generator(9);
  std::vector<std::uint64_t> words;
  for (int bit = 0; bit < 8; ++bit) {
    const auto border =
        static_cast<std::uint64_t>(std::numbers::sqrt2 * 0x1p63) >> bit;
    for (std::uint64_t step = 0; step < 2048; step += 128)
      words.insert(words.end(), {border + step, border - step});
  }
  const std::size_t pairs = words.size();
  for (std::size_t i = 0; i < pairs; ++i) words.push_back(generator());
  EXPECT_LT(WorstError(words), kUnits);
}

// A normal is as exact beside an axis, where it is next to nothing, as it is
// elsewhere; and the arcs of the four signs end at the diagonals.
TEST(BoxMullerTest, IsExactBesideAxesAndDiagonals) {
  std::vector<std::uint64_t> angles;
  for (std::uint64_t arc = 0; arc < 4; ++arc)
    for (int bit = 0; bit < 52; ++bit)
      for (const std::uint64_t middle : {0ULL, 1ULL << 51}) {
        const std::uint64_t step = std::uint64_t{1} << bit;
        const std::uint64_t fraction = (std::uint64_t{1} << 52) - 1;
        angles.push_back(arc << 62 | ((middle + step) & fraction));
        angles.push_back(arc << 62 | ((middle - step) & fraction));
      }
  std::vector<std::uint64_t> words(angles.size(), kAll / 7);
  words.insert(words.end(), angles.begin(), angles.end());
  EXPECT_LT(WorstError(words), kUnits);
}

// Without a word about which bits do what.
TEST(BoxMullerTest, TurnsTheAngleOnceRoundTheCircleInEvenSteps) {
  std::vector<double> angles;
  for (std::uint64_t arc = 0; arc < 4; ++arc)
    for (std::uint64_t step = 0; step < 64; ++step) {
      const auto [x, y] =
          OnePair(kAll / 7, arc << 62 | step << 46 | std::uint64_t{1} << 45);
      angles.push_back(std::atan2(y, x));
    }
  std::sort(angles.begin(), angles.end());
  for (std::size_t i = 0; i < angles.size(); ++i)
    EXPECT_NEAR(angles[i],
                std::numbers::pi * ((static_cast<double>(i) + 0.5) / 128 - 1),
                4e-15);
}

TEST(BoxMullerTest, UsesNoBitOfTheRadiusForTheAngleNorTheOtherWayRound) {
  const Pair pair = OnePair(kAll / 7, kAll / 5);
  for (int bit = 0; bit < 64; ++bit) {
    const Pair turned = OnePair(kAll / 7, kAll / 5 ^ std::uint64_t{1} << bit);
    EXPECT_NEAR(std::hypot(turned.x, turned.y), std::hypot(pair.x, pair.y),
                1e-14);
    const Pair scaled = OnePair(kAll / 7 ^ std::uint64_t{1} << bit, kAll / 5);
    EXPECT_NEAR(std::atan2(scaled.y, scaled.x), std::atan2(pair.y, pair.x),
                1e-14);
  }
}

// The moments of two independent normals, up to the fourth of them together.
// The generator's seed is fixed, so that what passes once passes always.
TEST(BoxMullerTest, MakesPairsOfIndependentStandardNormals) {
  constexpr int kRounds = 1000;
  std::mt19937_64 generator(10);
  std::vector<std::uint64_t> words(2 * kBoxMullerPairs);
  std::array<double, 8> sums{};
  for (int round = 0; round < kRounds; ++round) {
    for (auto& word : words) word = generator();
    for (const auto& [x, y] : Pairs(words)) {
      const std::array<double, 8> moments{
          x,     y,         x * x - 1, y * y - 1,
          x * y, x * x * y, x * y * y, (x * x - 1) * (y * y - 1)};
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += moments[i];
    }
  }
  constexpr std::array<double, 8> kVariances{1, 1, 2, 2, 1, 3, 3, 4};
  for (std::size_t i = 0; i < sums.size(); ++i)
    EXPECT_LT(std::abs(sums[i]) /
                  std::sqrt(kVariances[i] * kRounds * kBoxMullerPairs),
              4)
        << i;
}

TEST(BoxMullerTest, AddsWhatItGives) {
  std::mt19937_64 generator(11);
  std::uniform_real_distribution<float> uniform(-10, 10);
  BoxMullerScratch scratch;
  for (const std::size_t size :
       {1, 2, 3, 15, 16, 17, 255, 256, 257, 258, 2047, 2048}) {
    std::vector<std::uint64_t> words(size + size % 2);
    for (auto& word : words) word = generator();
    std::vector<double> normals(words.size());
    BoxMuller(words, normals, scratch);
    std::vector<float> sum(size), noise(size);
    for (float& value : sum) value = uniform(generator);
    const std::vector<float> before = sum;
    AddBoxMuller(words, 1, noise, scratch);
    AddBoxMuller(words, 300.7, sum, scratch);
    for (std::size_t i = 0; i < size; ++i) {
      EXPECT_EQ(noise[i], static_cast<float>(normals[i]));
      // Half a unit of the float, and of double arithmetic next to nothing.
      const double exact = before[i] + 300.7 * normals[i];
      EXPECT_NEAR(sum[i], exact, std::abs(exact) * 0x1.0001p-24 + 1e-12);
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
  // 128 apart are made one after the other, 1024 of one angle, 2048 of the next
  // words.
  const auto noise = Noise(1, 2'000'000);
  for (const std::size_t lag :
       {1, 2, 4, 8, 127, 128, 1023, 1024, 1025, 2048, 4096}) {
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
