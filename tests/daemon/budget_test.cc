#include "daemon/budget.h"

#include <gtest/gtest.h>

#include <ctime>

#include "dp/accountant.h"
#include "dp/rdp.h"
#include "dp/rdp_filter.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

constexpr double kRate = 0.01;
constexpr double kSigma = 1.0;
constexpr double kDelta = 1e-5;

class BudgetTest : public testing::Test {
 protected:
  std::unique_ptr<Budget> Open(std::optional<double> target,
                               dp::Accountant accountant = dp::Accountant::kRdp,
                               double sigma = kSigma) {
    return std::make_unique<Budget>(
        dp::Ledger(folder_.path(), "data", "test"),
        BudgetTerms{kRate, sigma, kDelta, target, accountant});
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

// Of the reservation at the old rate only what was used stays charged.
TEST_F(BudgetTest, EachPhaseIsChargedAtItsOwnRate) {
  const auto budget = Open(std::nullopt);
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(budget->PayOneStep(1000));
  budget->ChangeSampleRate(3 * kRate);
  EXPECT_DOUBLE_EQ(budget->EpsilonAfter(0),
                   dp::RdpEpsilon({kRate, kSigma, 30}, kDelta).epsilon);
  const double planned = budget->EpsilonAfter(20);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(budget->PayOneStep(1000));
  budget->Settle();
  dp::RdpAccountant by_hand;
  by_hand.Add({kRate, kSigma, 30});
  by_hand.Add({3 * kRate, kSigma, 20});
  EXPECT_DOUBLE_EQ(budget->status().epsilon, by_hand.Epsilon(kDelta).epsilon);
  EXPECT_DOUBLE_EQ(planned, budget->status().epsilon);
  EXPECT_EQ(budget->status().terms.sample_rate, 3 * kRate);
  EXPECT_EQ(dp::ReadLedger(folder_ / "ledger").charged.size(), 2U);
}

TEST_F(BudgetTest, ARateThatIsHigherLeavesFewerStepsToTheTarget) {
  const double target = 1.2;
  const auto budget = Open(target);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(budget->PayOneStep(100000));
  budget->ChangeSampleRate(4 * kRate);
  std::uint64_t more = 0;
  while (budget->PayOneStep(100000)) ++more;
  EXPECT_LE(budget->status().epsilon, target);
  EXPECT_GT(budget->EpsilonAfter(1), target);
  EXPECT_LT(10 + more, StepsByHand(target));
}

TEST_F(BudgetTest, StepsLeftCountDown) {
  const auto budget = Open(std::nullopt);
  ASSERT_TRUE(budget->PayOneStep(40));
  EXPECT_EQ(budget->status().steps_left, 39U);
  ASSERT_TRUE(budget->PayOneStep(39));
  EXPECT_EQ(budget->status().steps_left, 38U);
}

double PldOf(std::uint64_t steps) {
  const dp::Releases releases{kRate, kSigma, steps};
  return dp::EpsilonOf(dp::Accountant::kPld, {&releases, 1}, kDelta);
}

TEST_F(BudgetTest, StopsByPldAtTheLastStepThatFitsAndLaterThanByRdp) {
  const double target = 0.6;
  const auto budget = Open(target, dp::Accountant::kPld);
  std::uint64_t paid = 0;
  while (budget->PayOneStep(1000000)) {
    ++paid;
    // What is shown is never less than what was charged, nor beyond the target.
    if (paid == 1 || paid == 17) {
      const auto status = budget->status();
      EXPECT_GE(status.epsilon, PldOf(status.steps_charged));
      EXPECT_LE(status.epsilon, target);
    }
  }
  EXPECT_GT(paid, StepsByHand(target));
  const auto status = budget->status();
  EXPECT_EQ(status.accountant, dp::Accountant::kPld);
  EXPECT_EQ(status.steps_charged, paid);
  EXPECT_EQ(status.epsilon, PldOf(paid));
  EXPECT_LE(status.epsilon, target);
  EXPECT_GT(PldOf(paid + 1), target);
}

TEST_F(BudgetTest, ByPldEndsWithTheEpsilonOfTheStepsThatWerePaid) {
  const auto budget = Open(std::nullopt, dp::Accountant::kPld);
  for (int i = 0; i < 21; ++i) ASSERT_TRUE(budget->PayOneStep(1000));
  EXPECT_GE(budget->status().epsilon, PldOf(budget->status().steps_charged));
  budget->Settle();
  EXPECT_EQ(budget->status().steps_charged, 21U);
  EXPECT_EQ(budget->status().epsilon, PldOf(21));
}

TEST_F(BudgetTest, ByPldALowerTargetStopsAtItsOwnLastStep) {
  const auto budget = Open(0.9, dp::Accountant::kPld);
  ASSERT_TRUE(budget->PayOneStep(1000000));
  ASSERT_TRUE(budget->LowerTarget(0.6));
  std::uint64_t paid = 1;
  while (budget->PayOneStep(1000000)) ++paid;
  EXPECT_LE(PldOf(paid), 0.6);
  EXPECT_GT(PldOf(paid + 1), 0.6);
}

// Evaluations are what costs time: a step's price must not contain one.
TEST_F(BudgetTest, ByPldStepsCostNoEvaluationEach) {
  const auto budget = Open(10, dp::Accountant::kPld);
  ASSERT_TRUE(budget->PayOneStep(5000));
  const std::clock_t start = std::clock();
  for (std::uint64_t wanted = 4999; wanted > 4000; --wanted)
    ASSERT_TRUE(budget->PayOneStep(wanted));
  const double each =
      static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC / 999;
  const std::clock_t again = std::clock();
  PldOf(700);
  const double one = static_cast<double>(std::clock() - again) / CLOCKS_PER_SEC;
  EXPECT_LT(each, one / 20);
}

// Somebody saw what the first run released and then chose other noise.
TEST_F(BudgetTest, CountsByRdpAndFiltersWhereParametersWereChangedOnTheWay) {
  const double target = 1.5;
  {
    const auto budget = Open(target, dp::Accountant::kPld);
    for (int i = 0; i < 40; ++i) ASSERT_TRUE(budget->PayOneStep(40));
    budget->Settle();
  }
  const auto budget = Open(target, dp::Accountant::kPld, 2 * kSigma);
  EXPECT_EQ(budget->status().accountant, dp::Accountant::kRdp);
  std::uint64_t paid = 0;
  while (budget->PayOneStep(1000000)) ++paid;
  dp::RdpFilter filter({kRate, kSigma, 1}, kDelta, target);
  filter.Count({kRate, kSigma, 40});
  EXPECT_EQ(paid, filter.StepsThatPass({kRate, 2 * kSigma, 1000000}));
  filter.Count({kRate, 2 * kSigma, paid});
  EXPECT_LE(budget->status().epsilon, filter.Epsilon());
  EXPECT_LE(filter.Epsilon(), target);
}

}  // namespace
}  // namespace hearsay::daemon
