#include "daemon/mixing/slow_momentum.h"

#include <gtest/gtest.h>

#include <vector>

namespace hearsay::mixing {
namespace {

std::vector<float> After(SlowMomentum& slow, float mean) {
  std::vector<float> at = {mean, -mean};
  slow.Move(at);
  EXPECT_EQ(at[1], -at[0]);
  return at;
}

TEST(SlowMomentumTest, WithoutMomentumTheMeanIsWhereAllGoOn) {
  SlowMomentum slow(0);
  for (const float mean : {1.0F, 5.0F, -2.0F})
    EXPECT_EQ(After(slow, mean)[0], mean);
}

// By hand: x0 = 8; m = 6: u = 2, x = 6; m = 5: u = 1/2 2 + 1 = 2, x = 4;
// m = 4: u = 1, x = 3.
TEST(SlowMomentumTest, FollowsTheRecurrence) {
  SlowMomentum slow(0.5F);
  EXPECT_EQ(After(slow, 8)[0], 8);
  EXPECT_EQ(After(slow, 6)[0], 6);
  EXPECT_EQ(After(slow, 5)[0], 4);
  EXPECT_EQ(After(slow, 4)[0], 3);
}

TEST(SlowMomentumTest, BeginsAnewWhenForgotten) {
  SlowMomentum slow(0.5F);
  After(slow, 8);
  After(slow, 6);
  slow.Forget();
  EXPECT_EQ(After(slow, 5)[0], 5);
  EXPECT_EQ(After(slow, 4)[0], 4);
}

TEST(ShareTest, IsTheMean) {
  std::vector<float> sum = {4, -8};
  Share(sum, 4);
  EXPECT_EQ(sum, (std::vector<float>{1, -2}));
}

}  // namespace
}  // namespace hearsay::mixing
