#include "daemon/budget.h"

#include <gtest/gtest.h>

#include "dp/rdp.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

constexpr double kRate = 0.01;
constexpr double kSigma = 1.0;
constexpr double kDelta = 1e-5;

class BudgetTest : public testing::Test {
 protected:
  std::unique_ptr<Budget> Open(std::optional<double> target) {
    return std::make_unique<Budget>(dp::Ledger(folder_.path(), "data", "test"),
                                    BudgetTerms{kRate, kSigma, kDelta, target});
  }

  tests::TemporaryFolder folder_;
};

// How many steps fit, asked of the accountant one by one.
std::uint64_t StepsByHand(double target) {
  std::uint64_t steps = 0;
  while (dp::RdpEpsilon({kRate, kSigma, steps + 1}, kDelta).epsilon <= target)
    ++steps;
  return steps;
}

TEST_F(BudgetTest, PaysForExactlyTheStepsThatFit) {
  const double target = 1.2;
  const auto fits = StepsByHand(target);
  ASSERT_GT(fits, 20U);
  const auto budget = Open(target);
  std::uint64_t paid = 0;
  while (budget->PayOneStep(1000000)) ++paid;
  EXPECT_EQ(paid, fits);
  EXPECT_LE(budget->status().epsilon, target);
  EXPECT_EQ(budget->status().steps_left, 0U);
  EXPECT_FALSE(budget->PayOneStep(1));
}

TEST_F(BudgetTest, NeverReservesMoreThanTheRunWants) {
  const auto budget = Open(std::nullopt);
  for (std::uint64_t wanted = 5; wanted > 0; --wanted)
    ASSERT_TRUE(budget->PayOneStep(wanted));
  EXPECT_EQ(budget->status().steps_charged, 5U);
}

TEST_F(BudgetTest, WhatTheLedgerHoldsIsAlwaysAtLeastWhatWasPaid) {
  const auto budget = Open(std::nullopt);
  for (std::uint64_t paid = 1; paid <= 300; ++paid) {
    ASSERT_TRUE(budget->PayOneStep(100000));
    EXPECT_GE(dp::ReadLedger(folder_ / "ledger").charged_steps, paid);
  }
}

TEST_F(BudgetTest, SettlesToExactlyWhatWasPaid) {
  {
    const auto budget = Open(std::nullopt);
    for (int i = 0; i < 21; ++i) ASSERT_TRUE(budget->PayOneStep(1000));
    budget->Settle();
    EXPECT_EQ(budget->status().steps_charged, 21U);
  }
  EXPECT_EQ(dp::ReadLedger(folder_ / "ledger").charged_steps, 21U);
}

TEST_F(BudgetTest, AnotherRunOnTheSameDataGoesOnFromWhatWasSpent) {
  const double target = 1.2;
  {
    const auto budget = Open(target);
    while (budget->PayOneStep(1000000)) {
    }
  }
  const auto again = Open(target);
  EXPECT_FALSE(again->PayOneStep(1));
  EXPECT_GT(again->status().epsilon, 0);
}

TEST_F(BudgetTest, ReportsTheAccountantsEpsilonOfTheLedger) {
  const auto budget = Open(std::nullopt);
  EXPECT_EQ(budget->status().epsilon, 0);
  ASSERT_TRUE(budget->PayOneStep(1000));
  const auto ledger = dp::ReadLedger(folder_ / "ledger");
  EXPECT_DOUBLE_EQ(
      budget->status().epsilon,
      dp::RdpEpsilon({kRate, kSigma, ledger.charged_steps}, kDelta).epsilon);
}

TEST_F(BudgetTest, ATargetCanOnlyBeLowered) {
  const auto budget = Open(1.2);
  EXPECT_FALSE(budget->LowerTarget(1.3));
  EXPECT_TRUE(budget->LowerTarget(0.1));
  EXPECT_FALSE(budget->PayOneStep(10));
}

TEST_F(BudgetTest, StepsLeftCountDown) {
  const auto budget = Open(std::nullopt);
  ASSERT_TRUE(budget->PayOneStep(40));
  EXPECT_EQ(budget->status().steps_left, 39U);
  ASSERT_TRUE(budget->PayOneStep(39));
  EXPECT_EQ(budget->status().steps_left, 38U);
}

}  // namespace
}  // namespace hearsay::daemon
