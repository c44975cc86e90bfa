#include "daemon/ema.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace hearsay::daemon {
namespace {

double First(const Ema& ema) {
  std::vector<float> values(ema.size());
  ema.Snapshot(values);
  return values[0];
}

// By its definition: a weighted mean whose weights sum to one.
TEST(EmaTest, IsTheWeightedMeanOfAllStepsSoFar) {
  constexpr double kDecay = 0.9;
  Ema ema(kDecay, 1);
  std::vector<double> seen;
  for (int t = 0; t < 60; ++t) {
    const auto weight = static_cast<float>(std::sin(3 * t) + t);
    seen.push_back(weight);
    ema.Follow({&weight, 1});
    double sum = 0, weights = 0;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const double w =
          std::pow(kDecay, static_cast<double>(t) - static_cast<double>(i));
      sum += w * seen[i];
      weights += w;
    }
    ASSERT_NEAR(First(ema), sum / weights, 1e-5 * (1 + t)) << t;
  }
  EXPECT_EQ(ema.steps(), 60U);
}

TEST(EmaTest, TheFirstStepIsItself) {
  Ema ema(0.999, 2);
  const std::vector<float> weights = {0.1F, -7};
  ema.Follow(weights);
  std::vector<float> values(2);
  ema.Snapshot(values);
  EXPECT_EQ(values, weights);
}

TEST(EmaTest, GoesOnFromACheckpointWithTheSameBits) {
  Ema whole(0.95, 1), first(0.95, 1), second(0.95, 1);
  const auto weight = [](int t) { return static_cast<float>(std::cos(t)); };
  for (int t = 0; t < 20; ++t) {
    const float w = weight(t);
    whole.Follow({&w, 1});
    if (t < 11) first.Follow({&w, 1});
  }
  std::vector<float> saved(1);
  first.Snapshot(saved);
  second.Restore(saved, first.steps());
  for (int t = 11; t < 20; ++t) {
    const float w = weight(t);
    second.Follow({&w, 1});
  }
  EXPECT_EQ(First(second), First(whole));
}

}  // namespace
}  // namespace hearsay::daemon
