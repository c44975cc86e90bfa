#include "daemon/live_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>
#include <vector>

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

}  // namespace
}  // namespace hearsay::daemon
