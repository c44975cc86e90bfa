// Clipping in integers: no vector is longer than it may be, by integer
// arithmetic, and what it adds depends on nothing else.
#include "dp/grid_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "tests/dp/chance.h"

namespace hearsay::dp {
namespace {

__extension__ typedef __int128 Wide;

Wide SquaredLength(std::span<const std::int64_t> vector) {
  Wide sum = 0;
  for (const auto value : vector) sum += Wide{value} * value;
  return sum;
}

std::vector<float> Random(std::size_t size, double length,
                          std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  std::vector<double> wide(size);
  double squares = 0;
  for (double& value : wide) {
    value = normal(random);
    squares += value * value;
  }
  std::vector<float> vector;
  for (const double value : wide)
    vector.push_back(static_cast<float>(value * length / std::sqrt(squares)));
  return vector;
}

TEST(GridSumTest, NoVectorIsLongerThanItsReach) {
  std::mt19937_64 random(7);
  for (const double multiplier : {1e-4, 0.3, 1.0, 1.1, 7.3, 1000.0})
    for (const double clip : {1e-6, 0.1, 1.0, 37.0})
      for (const std::size_t size : {1U, 2U, 17U, 4000U})
        for (const double times :
             {1e-30, 1e-3, 0.999999, 1.0, 1.0000001, 1.5, 1e6, 1e30}) {
          GridSum sum(size, clip, multiplier);
          ASSERT_NE(sum.Add(Random(size, clip * times, random)),
                    GridSum::Fate::kRejected);
          EXPECT_LE(SquaredLength(sum.sum()), Wide{sum.reach()} * sum.reach());
          // And a long one loses nothing that it may keep.
          if (times >= 1.5) {
            EXPECT_GE(static_cast<double>(SquaredLength(sum.sum())),
                      std::pow((1 - 1e-6) * static_cast<double>(sum.reach()) -
                                   std::sqrt(static_cast<double>(size)),
                               2));
          }
        }
}

TEST(GridSumTest, NoiseIsNeverShortOfItsMultiplier) {
  std::mt19937_64 random(9);
  std::uniform_real_distribution<double> exponent(-29, 29);
  for (int i = 0; i < 20000; ++i) {
    const double multiplier = i == 0   ? 0x1p-30
                              : i == 1 ? 0x1p30
                                       : std::exp2(exponent(random));
    const GridSum sum(1, 1, multiplier);
    ASSERT_GE(sum.reach(), 1);
    ASSERT_LE(sum.reach(), std::int64_t{1} << 30);
    // multiplier * reach <= sigma, in integers.
    int power = 0;
    const auto mantissa = static_cast<std::int64_t>(
        std::ldexp(std::frexp(multiplier, &power), 53));
    const int shift = 53 - power;  // multiplier = mantissa 2^-shift
    const Wide left = Wide{mantissa} * sum.reach();
    const Wide right =
        shift >= 0 ? Wide{sum.sigma()} << shift : Wide{sum.sigma()} >> -shift;
    ASSERT_LE(left, right) << multiplier;
    // Nor much more than that.
    EXPECT_LE(
        static_cast<double>(sum.sigma()) / static_cast<double>(sum.reach()),
        multiplier * (1 + 1.0 / static_cast<double>(sum.reach())));
  }
}

TEST(GridSumTest, AddsTheClippedVectorToWithinAStep) {
  std::mt19937_64 random(1);
  const auto shorter = Random(50, 0.4, random);
  const auto longer = Random(50, 3.0, random);
  std::vector<float> values(50);
  GridSum sum(50, 0.5, 1.0);
  EXPECT_EQ(sum.Add(shorter), GridSum::Fate::kWhole);
  EXPECT_EQ(sum.Add(longer), GridSum::Fate::kClipped);
  sum.TakeInto(2, values);
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_NEAR(values[i], 2 * (shorter[i] + longer[i] / 6), 1e-6);
  // And begins anew.
  EXPECT_EQ(SquaredLength(sum.sum()), 0);
}

TEST(GridSumTest, TheOrderDoesNotMatterAndOneVectorChangesOnlyItsOwn) {
  std::mt19937_64 random(2);
  std::vector<std::vector<float>> vectors;
  for (int i = 0; i < 40; ++i)
    vectors.push_back(Random(300, std::exp2(i % 20 - 10), random));
  const auto sum_of = [&](std::size_t left_out) {
    GridSum sum(300, 1, 0.8);
    for (std::size_t i = 0; i < vectors.size(); ++i)
      if (i != left_out) sum.Add(vectors[i]);
    return std::vector<std::int64_t>(sum.sum().begin(), sum.sum().end());
  };
  const auto all = sum_of(vectors.size());
  GridSum alone(300, 1, 0.8);
  alone.Add(vectors[13]);
  const auto without = sum_of(13);
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(all[i] - without[i], alone.sum()[i]);
  std::shuffle(vectors.begin(), vectors.end(), random);
  EXPECT_EQ(sum_of(vectors.size()), all);
}

TEST(GridSumTest, WhatIsNotFiniteAddsNothing) {
  for (const float bad : {std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    GridSum sum(100, 1, 1);
    std::vector<float> vector(100, 0.01F);
    vector[42] = bad;
    EXPECT_EQ(sum.Add(vector), GridSum::Fate::kRejected);
    EXPECT_EQ(SquaredLength(sum.sum()), 0);
  }
  // The largest floats are finite, and are clipped.
  GridSum sum(100, 1, 1);
  EXPECT_EQ(sum.Add(std::vector<float>(100, std::numeric_limits<float>::max())),
            GridSum::Fate::kClipped);
  EXPECT_LE(SquaredLength(sum.sum()), Wide{sum.reach()} * sum.reach());
}

TEST(GridSumTest, NoiseHasTheStandardDeviationAskedFor) {
  constexpr std::size_t kSize = 200'000;
  GridSum sum(kSize, 0.3, 1.7);
  SecureRandom random;
  std::vector<float> values(kSize);
  sum.AddNoise(random);
  sum.TakeInto(10, values);
  double squares = 0;
  double total = 0;
  for (const float value : values) {
    squares += double{value} * value;
    total += value;
  }
  const double stddev = 0.3 * 1.7 * 10;
  EXPECT_NEAR(squares / kSize / (stddev * stddev), 1,
              tests::kFarMean * std::sqrt(2.0 / kSize));
  EXPECT_LT(std::abs(total), tests::kFarMean * stddev * std::sqrt(kSize));
}

TEST(GridSumTest, RefusesTermsThatAreNone) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  for (const double clip : {0.0, -1.0, nan, inf})
    EXPECT_THROW(GridSum(1, clip, 1), std::invalid_argument);
  for (const double multiplier : {0.0, -1.0, 0x1p-31, 0x1p31, nan, inf})
    EXPECT_THROW(GridSum(1, 1, multiplier), std::invalid_argument);
}

}  // namespace
}  // namespace hearsay::dp
