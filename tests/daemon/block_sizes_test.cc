// How large reservations are, under clocks and disks of the test's own.
#include "daemon/block_sizes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace hearsay::daemon {
namespace {

using std::chrono::duration;
using namespace std::chrono_literals;
using Time = BlockSizes::Duration;

constexpr std::uint64_t kManySteps = 100'000'000;

// A trainer and a disk in virtual time: one reservation at a time is on its way
// while steps are taken, as Budget has it.
class TrainerAndDisk {
 public:
  Time step = 63us;
  Time disk = 4ms;   // Of a reservation, waiting included.
  Time busy = 50us;  // Of that, on a processor.
  std::uint64_t left = kManySteps;

  struct Seen {
    double cost = 0;              // Waiting and busy, of all the time.
    std::uint64_t most_lost = 0;  // Reserved and not taken, at the worst.
    std::uint64_t reservations = 0;
  };
  // Takes so many steps.
  Seen Take(std::uint64_t steps) {
    Seen seen;
    const Time begin = now_;
    Time paid{0};
    for (; steps > 0; --steps) {
      if (unused_ == 0) {
        if (!coming_) Begin();
        paid += std::max(done_at_ - now_, Time(0));
        now_ = std::max(now_, done_at_);
      }
      // On disk from then on, adopted or not.
      if (coming_) {
        if (now_ >= done_at_)
          seen.most_lost = std::max(seen.most_lost, unused_ + block_);
        if (unused_ == 0) {
          sizes_.OnReserved(done_at_ - asked_, busy);
          paid += busy;
          ++seen.reservations;
          unused_ = block_;
          coming_ = false;
        }
      }
      seen.most_lost = std::max(seen.most_lost, unused_);
      --unused_;
      --left;
      if (!coming_ && unused_ <= plan_.ahead) Begin();
      now_ += step;
      ++taken_;
    }
    seen.cost = duration<double>(paid) / duration<double>(now_ - begin);
    return seen;
  }

 private:
  void Begin() {
    sizes_.OnSteps(taken_, static_cast<Time::rep>(taken_) * step);
    taken_ = 0;
    plan_ = sizes_.For(left);
    block_ = plan_.block;
    asked_ = now_;
    done_at_ = now_ + disk;
    coming_ = true;
  }

  BlockSizes sizes_;
  BlockSizes::Plan plan_;
  Time now_{0};
  Time asked_{0};
  Time done_at_{0};
  bool coming_ = false;
  std::uint64_t block_ = 0;
  std::uint64_t unused_ = 0;
  std::uint64_t taken_ = 0;
};

TEST(BlockSizesTest, PayingCostsLessThanOnePercentAndBlocksStaySmall) {
  for (const Time step : {20us, 63us, 450us, 5000us, 200000us})
    for (const Time disk : {100us, 1000us, 4000us, 10000us}) {
      TrainerAndDisk scene;
      scene.step = step;
      scene.disk = disk;
      scene.Take(5000);
      const auto seen = scene.Take(50000);
      SCOPED_TRACE(testing::Message() << step / 1us << " us a step, "
                                      << disk / 1us << " us a reservation");
      EXPECT_LT(seen.cost, 0.01);
      // No more than the disk needs, or the processor's share.
      const auto disk_steps = static_cast<std::uint64_t>(disk / step);
      const auto busy_steps = static_cast<std::uint64_t>(150 * 50us / step);
      EXPECT_LE(seen.most_lost,
                2 * BlockSizes::kFirstBlock + 4 * disk_steps + busy_steps + 4);
    }
}

// What a block would need that the trainer waits for: a hundred times the disk.
TEST(BlockSizesTest, ACrashLosesFarLessThanIfTheTrainerWaited) {
  TrainerAndDisk scene;
  scene.Take(5000);
  EXPECT_LT(scene.Take(50000).most_lost, 100 * (4000 / 63) / 10);
}

TEST(BlockSizesTest, ADiskThatBecomesSlowGetsLargerBlocksAndGivesThemBack) {
  TrainerAndDisk scene;
  scene.Take(5000);
  const auto before = scene.Take(20000);
  scene.disk = 25ms;
  scene.Take(2000);
  const auto slow = scene.Take(50000);
  EXPECT_LT(slow.cost, 0.01);
  EXPECT_GT(slow.most_lost, before.most_lost);
  scene.disk = 4ms;
  scene.Take(20000);
  const auto after = scene.Take(50000);
  EXPECT_LT(after.cost, 0.01);
  EXPECT_EQ(after.most_lost, before.most_lost);
}

TEST(BlockSizesTest, StepsThatBecomeQuickAreFollowedAtOnce) {
  TrainerAndDisk scene;
  scene.step = 200ms;
  scene.Take(200);
  scene.step = 63us;
  scene.Take(500);
  EXPECT_LT(scene.Take(50000).cost, 0.01);
}

// A pause is no step, but looks like one.
TEST(BlockSizesTest, APauseIsForgottenByTheNextBlock) {
  BlockSizes sizes;
  sizes.OnReserved(4ms, 50us);
  sizes.OnSteps(100, 6300us);
  const auto before = sizes.For(kManySteps);
  sizes.OnSteps(100, 3600s);
  sizes.OnSteps(100, 6300us);
  EXPECT_EQ(sizes.For(kManySteps).block, before.block);
  EXPECT_EQ(sizes.For(kManySteps).ahead, before.ahead);
}

// One slow block of steps, and one quick reservation, prove little.
TEST(BlockSizesTest, ChangesThatAskForLessAreBelievedByAQuarter) {
  BlockSizes sizes;
  sizes.OnReserved(8ms, 0us);
  sizes.OnSteps(100, 10ms);                      // 100 us each.
  EXPECT_EQ(sizes.For(kManySteps).ahead, 160U);  // Twice 8 ms.
  sizes.OnSteps(100, 50ms);
  EXPECT_EQ(sizes.For(kManySteps).ahead, 80U);  // 200 us, not 500.
  sizes.OnSteps(100, 10ms);
  EXPECT_EQ(sizes.For(kManySteps).ahead, 160U);  // At once.
  sizes.OnReserved(4ms, 0us);
  EXPECT_EQ(sizes.For(kManySteps).ahead, 140U);  // 7 ms, not 4.
  sizes.OnReserved(8ms, 0us);
  EXPECT_EQ(sizes.For(kManySteps).ahead, 160U);
}

// The first reservation works out what those after it reuse.
TEST(BlockSizesTest, OneBusyReservationMakesNoLargeBlock) {
  TrainerAndDisk scene;
  scene.busy = 30ms;
  scene.Take(16);
  scene.busy = 50us;
  EXPECT_LT(scene.Take(50000).most_lost, 500U);
  // Two are no accident.
  BlockSizes sizes;
  sizes.OnSteps(1000, 63ms);
  sizes.OnReserved(1ms, 500us);
  sizes.OnReserved(1ms, 1ms);
  EXPECT_GE(sizes.For(kManySteps).block, 100 * 500 / 63U);
}

// However slow the disk: budget is dearer than time.
TEST(BlockSizesTest, ACrashNeverLosesMoreThanItsShareOfWhatIsLeft) {
  for (const Time disk : {30ms, 1000ms, 100000ms})
    for (const std::uint64_t left : {50ULL, 20'000ULL, 1'000'000ULL}) {
      BlockSizes sizes;
      sizes.OnReserved(disk, disk);
      sizes.OnReserved(disk, disk);
      sizes.OnSteps(100, 100us);
      const auto plan = sizes.For(left);
      const auto most = std::max<std::uint64_t>(1024, left / 100);
      EXPECT_LE(plan.block + plan.ahead, most);
      EXPECT_GE(plan.block, most / 3) << "slower than it has to be";
    }
}

TEST(BlockSizesTest, WhatCannotBeIsNoTrouble) {
  BlockSizes sizes;
  EXPECT_EQ(sizes.For(0).block, BlockSizes::kFirstBlock);
  EXPECT_LT(sizes.For(0).ahead, BlockSizes::kFirstBlock);
  sizes.OnSteps(0, 1s);
  sizes.OnSteps(10, 0ns);
  sizes.OnReserved(-1s, Time::max());
  const auto plan = sizes.For(~std::uint64_t{0});
  EXPECT_GE(plan.block, 1U);
  EXPECT_GE(plan.ahead, 1U);
}

}  // namespace
}  // namespace hearsay::daemon
