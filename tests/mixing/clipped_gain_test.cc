// Clipped gossip: what is beyond the clip moves the weights by the clip.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "daemon/mixing/vet.h"

namespace hearsay::mixing {
namespace {

using Floats = std::vector<float>;

TEST(ClippedGainTest, LeavesWhatIsWithinTheClip) {
  const Floats mine = {1, 1, 1};
  const Floats theirs = {1, 4, 5};  // 5 away; half of it is 2.5
  EXPECT_EQ(ClippedGain(theirs, mine, 0.5F, 2.5), 0.5F);
  EXPECT_EQ(ClippedGain(theirs, mine, 0.5F, 0), 0.5F) << "no bound";
  EXPECT_EQ(ClippedGain(mine, mine, 0.5F, 1e-9), 0.5F) << "nothing to scale";
  EXPECT_EQ(ClippedGain(theirs, mine, 0.0F, 1), 0.0F);
}

TEST(ClippedGainTest, ScalesWhatIsBeyondItToTheClip) {
  const Floats mine = {1, 1, 1};
  const Floats theirs = {1, 4, 5};
  EXPECT_EQ(ClippedGain(theirs, mine, 0.5F, 1.25), 0.25F);
  EXPECT_NEAR(ClippedGain(theirs, mine, 0.5F, 1), 0.2, 1e-7);
  EXPECT_EQ(ClippedGain(mine, theirs, 0.5F, 1),
            ClippedGain(theirs, mine, 0.5F, 1))
      << "both ends must find the same";
}

// Down to where floats are sparse, and beyond where there are none.
TEST(ClippedGainTest, NeverMovesFartherThanTheClip) {
  const Floats mine = {0};
  for (const float far : {1e3F, 1e20F, 3e38F})
    for (const double clip : {1e-30, 1e-6, 1.0 / 3, 100.0}) {
      const float gain = ClippedGain(Floats{far}, mine, 0.5F, clip);
      EXPECT_LE(static_cast<double>(gain) * static_cast<double>(far), clip);
    }
  constexpr float kMax = std::numeric_limits<float>::max();
  EXPECT_EQ(ClippedGain(Floats{kMax}, Floats{-kMax}, 0.5F, 1), 0)
      << "their difference is not a float";
}

// One exchange; the length of the correction that `i` made.
double Exchange(Floats& i, Floats& j, double clip) {
  const float at_i = ClippedGain(j, i, 0.5F, clip);
  const float at_j = ClippedGain(i, j, 0.5F, clip);
  const Floats before = i;
  double moved = 0;
  for (std::size_t k = 0; k < i.size(); ++k) {
    const float difference = j[k] - before[k];
    i[k] += at_i * difference;
    j[k] += at_j * -difference;
    moved += std::pow(static_cast<double>(at_i * difference), 2);
  }
  return std::sqrt(moved);
}

TEST(ClippedGossipTest, HonestNodesMeetAtTheirMean) {
  std::vector<Floats> w = {{0, 90}, {30, -30}, {-60, 0}};
  for (int round = 0; round < 400; ++round)
    for (std::size_t i = 0; i < 3; ++i) Exchange(w[i], w[(i + 1) % 3], 1.0);
  for (const auto& node : w) {
    EXPECT_NEAR(node[0], -10, 1e-4);
    EXPECT_NEAR(node[1], 20, 1e-4);
  }
}

TEST(ClippedGossipTest, ALiarMovesTheHonestByTheClipAnExchangeAtMost) {
  constexpr double kClip = 0.01;
  constexpr int kRounds = 50;
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::vector<Floats> w(8, Floats(100));
  for (auto& node : w)
    for (float& x : node) x = 0.001F * normal(random);
  const auto honest_mean = [&w] {
    Floats mean(100);
    for (std::size_t i = 0; i < 7; ++i)
      for (std::size_t k = 0; k < 100; ++k) mean[k] += w[i][k] / 7;
    return mean;
  };
  const Floats start = honest_mean();
  int with_the_liar = 0;
  for (int round = 0; round < kRounds; ++round)
    for (std::size_t i = 0; i < 8; ++i) {
      w[7].assign(100, 1e30F);  // always says this
      const std::size_t j = (i + 1) % 8;
      const bool lied = i == 7 || j == 7;
      const double moved =
          i == 7 ? Exchange(w[j], w[i], kClip) : Exchange(w[i], w[j], kClip);
      EXPECT_LE(moved, kClip * (1 + 1e-6));
      if (!lied) continue;
      EXPECT_GE(moved, kClip * (1 - 1e-6)) << "1e30 is beyond the clip";
      ++with_the_liar;
    }
  EXPECT_EQ(with_the_liar, 2 * kRounds);
  EXPECT_LE(Distance(honest_mean(), start),
            with_the_liar * kClip / 7 * (1 + 1e-4));
}

}  // namespace
}  // namespace hearsay::mixing
