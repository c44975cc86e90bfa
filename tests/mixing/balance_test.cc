#include "daemon/mixing/balance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

namespace hearsay::mixing {
namespace {

constexpr double kRate = 0.02;

BalancedRates Global(const std::vector<double>& speeds, double most = 100) {
  return Balance({BalancePolicy::kFixedGlobal, kRate, most}, speeds);
}
double Sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

TEST(BalanceTest, FixedGlobalSharesTheSameLotBySpeed) {
  const auto rates = Global({100, 50, 10});
  EXPECT_NEAR(rates.sample[0], 3 * kRate * 100 / 160, 1e-15);
  EXPECT_NEAR(rates.sample[1], 3 * kRate * 50 / 160, 1e-15);
  EXPECT_NEAR(rates.sample[2], 3 * kRate * 10 / 160, 1e-15);
  EXPECT_EQ(rates.divide, kRate);
}

TEST(BalanceTest, EvenSpeedsChangeNothing) {
  for (const auto policy :
       {BalancePolicy::kFixedGlobal, BalancePolicy::kFixedLocal}) {
    const auto rates = Balance({policy, kRate, 2}, {7, 7, 7, 7});
    for (const double rate : rates.sample) EXPECT_NEAR(rate, kRate, 1e-15);
    EXPECT_NEAR(rates.divide, kRate, 1e-15);
  }
}

TEST(BalanceTest, WhatTheFastMayNotTakeTheOthersDo) {
  const auto rates = Global({1000, 30, 10}, /*most=*/2);
  EXPECT_NEAR(rates.sample[0], 2 * kRate, 1e-15);
  EXPECT_NEAR(rates.sample[1], 0.75 * kRate, 1e-12);
  EXPECT_NEAR(rates.sample[2], 0.25 * kRate, 1e-12);
}

TEST(BalanceTest, NobodySamplesMoreThanAllOrNearlyNothing) {
  const auto rates = Balance({BalancePolicy::kFixedGlobal, 0.6, 10}, {1e9, 1});
  EXPECT_NEAR(rates.sample[0], 1, 1e-12);
  EXPECT_NEAR(rates.sample[1], 0.2, 1e-9);
  const auto few = Global({1e9, 1, 1}, 3);
  EXPECT_GE(few.sample[1], kLeastShare * kRate);
  EXPECT_NEAR(Sum(few.sample), 3 * kRate, 1e-12);
}

TEST(BalanceTest, FixedLocalNeverSamplesMoreAndDividesByTheSmallerLot) {
  const auto rates =
      Balance({BalancePolicy::kFixedLocal, kRate, 2}, {50, 100, 10});
  EXPECT_EQ(rates.sample[1], kRate);
  EXPECT_NEAR(rates.sample[0], kRate / 2, 1e-15);
  EXPECT_NEAR(rates.sample[2], kRate / 10, 1e-15);
  EXPECT_NEAR(rates.divide, Sum(rates.sample) / 3, 1e-15);
}

// The mean over members of sum / (divide * size) is the sum of all over the lot
// of all: each member's own mean, weighted by its share.
TEST(BalanceTest, EachMeanCountsByItsShareOfTheLot) {
  const std::vector<double> speeds = {90, 20, 45};
  for (const auto policy :
       {BalancePolicy::kFixedGlobal, BalancePolicy::kFixedLocal}) {
    const auto rates = Balance({policy, kRate, 2}, speeds);
    const double size = 5000;
    double whole = 0;
    for (const double rate : rates.sample) {
      const double records = rate * size;  // each of gradient 1
      whole += records / (rates.divide * size) / 3;
    }
    EXPECT_NEAR(whole, 1, 1e-12);
  }
}

// A step takes as long as its slowest member's; shares by speed make all as
// long as each other.
TEST(BalanceTest, AllTakeAsLong) {
  const std::vector<double> speeds = {100, 50, 12.5};
  const auto rates = Global(speeds);
  for (std::size_t i = 0; i < speeds.size(); ++i)
    EXPECT_NEAR(rates.sample[i] / speeds[i], rates.sample[0] / speeds[0],
                1e-15);
}

TEST(BalanceTest, ASpeedThatCannotBeIsNotBelieved) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const double bad : {0.0, -1.0, inf, std::nan("")}) {
    const auto rates = Global({100, bad});
    EXPECT_EQ(rates.sample, std::vector<double>(2, kRate));
    EXPECT_EQ(rates.divide, kRate);
  }
  EXPECT_TRUE(Global({}).sample.empty());
}

TEST(BalanceTest, WordsReadAsTheyAreWritten) {
  for (const auto policy : {BalancePolicy::kOff, BalancePolicy::kFixedGlobal,
                            BalancePolicy::kFixedLocal})
    EXPECT_EQ(ParseBalance(Word(policy)), policy);
  EXPECT_EQ(ParseBalance("fixed"), std::nullopt);
}

}  // namespace
}  // namespace hearsay::mixing
