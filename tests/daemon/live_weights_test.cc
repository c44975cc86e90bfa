#include "daemon/live_weights.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

#include "daemon/mixing/momentum.h"

namespace hearsay::daemon {
namespace {

std::vector<float> Ramp(std::size_t size, float scale) {
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i)
    values[i] = scale * static_cast<float>(i % 1000);
  return values;
}

// Sizes around the chunk: nothing may be skipped or done twice at a border.
class LiveWeightsSizeTest : public testing::TestWithParam<std::size_t> {};

TEST_P(LiveWeightsSizeTest, EveryElementIsAssignedAddedAndCorrectedOnce) {
  const std::size_t size = GetParam();
  LiveWeights live(size);
  live.Assign(Ramp(size, 1));
  live.Add(Ramp(size, 2));
  live.Correct(0.5F, Ramp(size, 6), Ramp(size, 4));
  std::vector<float> seen(size);
  live.Snapshot(seen);
  EXPECT_EQ(seen, Ramp(size, 4));
}

INSTANTIATE_TEST_SUITE_P(Sizes, LiveWeightsSizeTest,
                         testing::Values(1, 7, LiveWeights::kChunk - 1,
                                         LiveWeights::kChunk,
                                         LiveWeights::kChunk + 1,
                                         3 * LiveWeights::kChunk + 5));

TEST(LiveWeightsTest, ConcurrentAddsAreAllThere) {
  LiveWeights live(2 * LiveWeights::kChunk + 3);
  const std::vector<float> one(live.size(), 1);
  const std::vector<float> zero(live.size(), 0);
  constexpr int kEach = 20;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) live.Add(one);
    });
  threads.emplace_back([&] {
    for (int i = 0; i < kEach; ++i) live.Correct(1, one, zero);
  });
  std::vector<float> seen(live.size());
  live.Snapshot(seen);  // Beside the writers, for the thread sanitizer.
  for (auto& thread : threads) thread.join();
  live.Snapshot(seen);
  EXPECT_EQ(seen, std::vector<float>(live.size(), 4.0F * kEach));
}

// With a twin, and a clock that the test holds.
class TwinTest : public testing::Test {
 protected:
  LiveWeights Make(std::size_t size) {
    return LiveWeights(size, mixing::Momentum::kAcid, [this] { return now_; });
  }
  void Wait(double seconds) {
    now_ += std::chrono::duration_cast<LiveWeights::Clock::duration>(
        std::chrono::duration<double>(seconds));
  }

  LiveWeights::Clock::time_point now_;
};

TEST_F(TwinTest, BlendsByTheTimeThatHasPassedHoweverOftenItIsLookedAt) {
  const std::size_t size = LiveWeights::kChunk + 5;
  auto live = Make(size);
  auto other = Make(size);
  for (auto* each : {&live, &other}) {
    each->AssignBoth(std::vector<float>(size, 1), std::vector<float>(size, 5));
    each->SetBlend(0.7);
  }
  std::vector<float> seen(size), x(size), twin(size), x2(size), twin2(size);
  for (int i = 0; i < 10; ++i) {
    Wait(0.05);
    live.Snapshot(seen);
    live.Add(std::vector<float>(size, 0));  // What changes keeps the blend.
  }
  live.SnapshotBoth(x, twin);
  other.SnapshotBoth(x2, twin2);
  const double expected = 1 + 4 * (1 - std::exp(-2 * 0.7 * 0.5)) / 2;
  for (const std::size_t i : {std::size_t{0}, size - 1}) {
    EXPECT_NEAR(seen[i], expected, 1e-5);
    EXPECT_NEAR(x[i], expected, 1e-5);
    EXPECT_NEAR(x2[i], expected, 1e-5);
    EXPECT_NEAR(x[i] + twin[i], 6, 1e-5);
    EXPECT_NEAR(x2[i] + twin2[i], 6, 1e-5);
  }
}

// The recurrence of the simulator (ops/sim: Blend, then the update or the
// correction of each array), in double, beside the passes.
TEST_F(TwinTest, DoesWhatTheSimulatorDoes) {
  auto live = Make(1);
  live.Assign(std::vector<float>{3});
  double x = 3, twin = 3, blended = 0, time = 0, eta = 0;
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> chance;
  std::normal_distribution<float> normal;
  const auto blend = [&] {
    const double by = mixing::BlendShare(eta, time - blended) * (twin - x);
    x += by;
    twin -= by;
    blended = time;
  };
  for (int i = 0; i < 2000; ++i) {
    const double wait = chance(random) / 10;
    Wait(wait);
    time += wait;
    blend();
    const std::vector<float> a = {normal(random)}, b = {normal(random)};
    if (i % 3 == 0) {
      live.Add(a);
      x += a[0];
      twin += a[0];
    } else if (i % 3 == 1) {
      live.Correct({.live = 0.5F, .twin = 0.9F}, a, b);
      x += 0.5 * (a[0] - b[0]);
      twin += 0.9 * (a[0] - b[0]);
    } else {  // A new rate, from here on.
      live.Add(std::vector<float>{0});
      eta = chance(random);
      live.SetBlend(eta);
    }
    std::vector<float> seen(1), one(1), other(1);
    live.Snapshot(seen);
    live.SnapshotBoth(one, other);
    ASSERT_NEAR(seen[0], x, 1e-3) << i;
    ASSERT_EQ(one[0], seen[0]);
    ASSERT_NEAR(other[0], twin, 1e-3) << i;
  }
}

TEST_F(TwinTest, WithoutABlendTheWeightsAreWhatTheyAreWithoutATwin) {
  const std::size_t size = 1000;
  auto with = Make(size);
  LiveWeights without(size);
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal;
  const auto draw = [&] {
    std::vector<float> values(size);
    for (float& value : values) value = normal(random);
    return values;
  };
  const auto start = draw();
  with.Assign(start);
  without.Assign(start);
  for (int i = 0; i < 50; ++i) {
    Wait(1);
    const auto update = draw(), theirs = draw(), mine = draw();
    with.Add(update);
    without.Add(update);
    with.Correct({.live = 0.5F, .twin = 0.9F}, theirs, mine);
    without.Correct(0.5F, theirs, mine);
  }
  std::vector<float> one(size), other(size);
  with.Snapshot(one);
  without.Snapshot(other);
  EXPECT_EQ(one, other);
}

TEST_F(TwinTest, BeginsAtTheWeights) {
  auto live = Make(2);
  live.SetBlend(1);
  live.AssignBoth(std::vector<float>{1, 2}, std::vector<float>{5, 6});
  live.Assign(std::vector<float>{3, 4});
  Wait(10);
  std::vector<float> x(2), twin(2);
  live.SnapshotBoth(x, twin);
  EXPECT_EQ(x, (std::vector<float>{3, 4}));
  EXPECT_EQ(twin, x);
}

TEST_F(TwinTest, AFullAverageMovesTheWeightsAndTheTwinBeginsAnew) {
  auto live = Make(1);
  live.SetBlend(1);
  live.AssignBoth(std::vector<float>{1}, std::vector<float>{5});
  std::vector<float> mine(1), x(1), twin(1);
  live.Snapshot(mine);
  EXPECT_EQ(mine[0], 1);
  Wait(0.3);
  live.Add(std::vector<float>{0.5F});  // Trained while the sum was made.
  live.MoveToMean(std::vector<float>{10}, mine);
  const double blended = 4 * (1 - std::exp(-2 * 0.3)) / 2;
  Wait(0.3);
  live.SnapshotBoth(x, twin);
  EXPECT_NEAR(x[0], 10.5 + blended, 1e-5);
  EXPECT_EQ(twin, x);
}

TEST_F(TwinTest, ConcurrentChangesAreAllThere) {
  auto live = Make(2 * LiveWeights::kChunk + 3);
  const std::vector<float> one(live.size(), 1), zero(live.size(), 0);
  live.SetBlend(0.5);
  constexpr int kEach = 20;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) live.Add(one);
    });
  threads.emplace_back([&] {
    for (int i = 0; i < kEach; ++i)
      live.Correct({.live = 1, .twin = 1}, one, zero);
  });
  std::vector<float> seen(live.size()), twin(live.size());
  live.Snapshot(seen);  // Beside the writers, for the thread sanitizer.
  live.SnapshotBoth(seen, twin);
  for (auto& thread : threads) thread.join();
  live.SnapshotBoth(seen, twin);
  EXPECT_EQ(seen, std::vector<float>(live.size(), 3.0F * kEach));
  EXPECT_EQ(twin, seen);
}

}  // namespace
}  // namespace hearsay::daemon
