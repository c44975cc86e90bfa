#include "daemon/budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include "dp/accountant.h"
#include "dp/ledger_io.h"
#include "dp/rdp.h"
#include "dp/rdp_filter.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

constexpr double kRate = 0.01;
constexpr double kSigma = 1.0;
constexpr double kDelta = 1e-5;
// A budget that never ends fails its test, and does not hang it.
constexpr std::uint64_t kTooMany = 20000;

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
  while (paid < kTooMany && budget->PayOneStep(1000000)) ++paid;
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

TEST_F(BudgetTest, TheLedgerSaysWhatNoiseItPaysFor) {
  {
    Budget budget(dp::Ledger(folder_.path(), "data", "test"),
                  {kRate, kSigma, kDelta, std::nullopt, dp::Accountant::kRdp,
                   dp::LedgerNoise::kExact});
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(budget.PayOneStep(1000));
    budget.Settle();
  }
  const auto contents = dp::ReadLedger(folder_ / "ledger");
  EXPECT_EQ(contents.charged_steps, 20U);
  for (const auto& record : contents.records)
    EXPECT_EQ(record.noise, dp::LedgerNoise::kExact);
}

TEST_F(BudgetTest, TheLastStepsOfARunAreReservedOnce) {
  const auto budget = Open(std::nullopt);
  for (std::uint64_t wanted = 100; wanted > 0; --wanted) {
    ASSERT_TRUE(budget->PayOneStep(wanted));
    ASSERT_LE(dp::ReadLedger(folder_ / "ledger").charged_steps, 100U);
  }
  budget->Settle();
  EXPECT_EQ(budget->status().steps_charged, 100U);
  for (const auto& record : dp::ReadLedger(folder_ / "ledger").records)
    EXPECT_EQ(record.kind, dp::LedgerRecord::Kind::kReserve);
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
    for (int i = 0; i < 20000 && budget->PayOneStep(1000000); ++i) {
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
  while (more < kTooMany && budget->PayOneStep(100000)) ++more;
  EXPECT_LE(budget->status().epsilon, target);
  EXPECT_GT(budget->EpsilonAfter(1), target);
  EXPECT_LT(10 + more, StepsByHand(target));
}

TEST_F(BudgetTest, StepsLeftCountDown) {
  const auto budget = Open(std::nullopt);
  EXPECT_EQ(budget->status().steps_left, std::nullopt);
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
  while (paid < kTooMany && budget->PayOneStep(1000000)) {
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
  while (paid < kTooMany && budget->PayOneStep(1000000)) ++paid;
  EXPECT_LE(PldOf(paid), 0.6);
  EXPECT_GT(PldOf(paid + 1), 0.6);
}

// A disk that takes its time, fails, or waits for the test; it knows how many
// steps are safe on it.
class TestDisk : public dp::LedgerIo {
 public:
  explicit TestDisk(std::filesystem::path file) : file_(std::move(file)) {}

  int DataSync(int) override {
    std::unique_lock lock(mutex_);
    syncing_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    syncing_ = false;
    const auto takes = takes_;
    lock.unlock();
    std::this_thread::sleep_for(takes);
    if (fails_) {
      errno = EIO;
      return -1;
    }
    safe_ = dp::ReadLedger(file_).charged_steps;
    return 0;
  }

  void Open(bool open) {
    const std::lock_guard lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }
  void Take(std::chrono::microseconds time) {
    const std::lock_guard lock(mutex_);
    takes_ = time;
  }
  void Fail() { fails_ = true; }
  // Waits for one.
  bool Syncs() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10),
                             [&] { return syncing_; });
  }
  std::uint64_t safe() const { return safe_; }

 private:
  const std::filesystem::path file_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  bool syncing_ = false;
  std::chrono::microseconds takes_{0};
  std::atomic<bool> fails_ = false;
  std::atomic<std::uint64_t> safe_ = 0;
};

class BudgetOnDiskTest : public BudgetTest {
 protected:
  std::unique_ptr<Budget> Open(std::optional<double> target = std::nullopt) {
    return std::make_unique<Budget>(
        dp::Ledger(folder_.path(), "data", "test", disk_),
        BudgetTerms{kRate, kSigma, kDelta, target});
  }
  // Steps of the reservation that is on its way when this returns; all of
  // those before it have been taken but one.
  std::uint64_t PayUpToTheGate(Budget& budget) {
    std::uint64_t paid = 0;
    while (paid < 16) {
      if (paid == 1) disk_.Open(false);
      EXPECT_TRUE(budget.PayOneStep(1000000));
      // Early: what the disk takes is hidden by the steps that are left.
      if (++paid == 9) {
        EXPECT_TRUE(disk_.Syncs());
      }
    }
    return paid;
  }

  TestDisk disk_{folder_ / "ledger"};
};

TEST_F(BudgetOnDiskTest, NoStepIsPaidForBeforeItIsOnDisk) {
  const auto budget = Open();
  for (std::uint64_t paid = 1; paid <= 20000; ++paid) {
    if (paid % 100 == 0)
      disk_.Take(std::chrono::microseconds(paid / 100 % 7 * 300));
    ASSERT_TRUE(budget->PayOneStep(1000000));
    ASSERT_GE(disk_.safe(), paid);
  }
}

TEST_F(BudgetOnDiskTest, StepsAreTakenWhileTheNextAreOnTheirWay) {
  const auto budget = Open();
  const auto paid = PayUpToTheGate(*budget);  // None of them waited for it.
  EXPECT_EQ(disk_.safe(), paid);
  // But one more does.
  auto next =
      std::async(std::launch::async, [&] { return budget->PayOneStep(1000); });
  EXPECT_EQ(next.wait_for(std::chrono::milliseconds(50)),
            std::future_status::timeout);
  disk_.Open(true);
  EXPECT_TRUE(next.get());
  EXPECT_GT(disk_.safe(), paid);
}

TEST_F(BudgetOnDiskTest, WhatIsOnItsWayIsGivenBackToo) {
  for (int steps = 1; steps < 120; ++steps) {
    tests::TemporaryFolder folder;
    TestDisk disk(folder / "ledger");
    Budget budget(dp::Ledger(folder.path(), "data", "test", disk),
                  {kRate, kSigma, kDelta, std::nullopt});
    for (int i = 0; i < steps; ++i) ASSERT_TRUE(budget.PayOneStep(1000));
    disk.Take(std::chrono::microseconds(200));
    budget.Settle();
    ASSERT_EQ(dp::ReadLedger(folder / "ledger").charged_steps,
              static_cast<std::uint64_t>(steps));
    ASSERT_EQ(budget.status().steps_charged, static_cast<std::uint64_t>(steps));
  }
}

TEST_F(BudgetOnDiskTest, AfterAFailedSyncOnlyWhatWasSafeBeforeIsTaken) {
  const auto budget = Open();
  std::uint64_t paid = 0;
  EXPECT_THROW(
      {
        while (paid < 1000) {
          ASSERT_TRUE(budget->PayOneStep(1000));
          if (++paid == 3) disk_.Fail();
        }
      },
      dp::LedgerError);
  EXPECT_EQ(paid, disk_.safe());
  EXPECT_THROW((void)budget->PayOneStep(1000), dp::LedgerError);
  // The file may hold more: that counts from now on, for the next to open it.
  EXPECT_GE(dp::ReadLedger(folder_ / "ledger").charged_steps, paid);
}

// However slow the disk: a crash loses no more (daemon/block_sizes.h).
TEST_F(BudgetOnDiskTest, OnASlowDiskBlocksStayWithinWhatACrashMayLose) {
  constexpr std::uint64_t kWanted = 60000;
  const auto budget = Open();
  disk_.Take(std::chrono::milliseconds(3));
  std::uint64_t most = 0;
  for (std::uint64_t paid = 0; paid < 20000;) {
    ASSERT_TRUE(budget->PayOneStep(kWanted - paid));
    ++paid;
    most = std::max(most, disk_.safe() - paid);
  }
  EXPECT_LE(most, BlockSizes::kMostLost);
  EXPECT_GT(most, 200U) << "slower than it has to be";
}

TEST_F(BudgetOnDiskTest, ARunThatEndsWhileMoreIsOnItsWayLeavesAWholeLedger) {
  {
    const auto budget = Open();
    PayUpToTheGate(*budget);
    disk_.Open(true);
  }
  const auto contents = dp::ReadLedger(folder_ / "ledger");
  EXPECT_FALSE(contents.torn);
  EXPECT_GE(contents.charged_steps, 16U);
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
  while (paid < kTooMany && budget->PayOneStep(1000000)) ++paid;
  dp::RdpFilter filter({kRate, kSigma, 1}, kDelta, target);
  filter.Count({kRate, kSigma, 40});
  EXPECT_EQ(paid, filter.StepsThatPass({kRate, 2 * kSigma, 1000000}));
  filter.Count({kRate, 2 * kSigma, paid});
  EXPECT_LE(budget->status().epsilon, filter.Epsilon());
  EXPECT_LE(filter.Epsilon(), target);
}

}  // namespace
}  // namespace hearsay::daemon
