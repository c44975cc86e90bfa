// The clip norm that follows a quantile: what it costs, where it goes, what it
// tells.
#include "dp/adaptive_clip.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "dp/rdp.h"
#include "tests/dp/chance.h"

namespace hearsay::dp {
namespace {

AdaptiveClipTerms Terms() {
  return {.initial = 1,
          .quantile = 0.5,
          .noise_multiplier = 1.1,
          .expected_batch = 500};
}

// One record that comes or goes moves gradients by the norm and the centred
// count by a half: in units of their noise, a vector of length 1 / z.
TEST(AdaptiveClipTest, GradientsAndCountTogetherCostWhatIsCharged) {
  for (const double z : {0.5, 1.1, 5.0})
    for (const double batch : {60.0, 500.0, 1e6}) {
      auto terms = Terms();
      terms.noise_multiplier = z;
      terms.expected_batch = batch;
      const AdaptiveClip clip(terms);
      EXPECT_EQ(clip.count_stddev(), batch / 20);
      EXPECT_GT(clip.gradient_multiplier(), z);
      const double length =
          std::hypot(1 / clip.gradient_multiplier(), 0.5 / clip.count_stddev());
      EXPECT_LE(length, 1 / z);
      EXPECT_NEAR(length, 1 / z, 1e-11 / z);
      // And so by the accountant, for any number of steps.
      EXPECT_NEAR(RdpEpsilon({1, 1 / length, 10}, 1e-5).epsilon,
                  RdpEpsilon({1, z, 10}, 1e-5).epsilon, 1e-8);
    }
}

// Norms of a known distribution: where half of them are is where it stays.
TEST(AdaptiveClipTest, FindsTheQuantileFromBothSides) {
  std::mt19937_64 random(3);
  std::lognormal_distribution<double> norms(std::log(0.3), 0.7);
  SecureRandom secure;
  for (const double initial : {0.003, 30.0})
    for (const double quantile : {0.2, 0.5, 0.8}) {
      auto terms = Terms();
      terms.initial = initial;
      terms.quantile = quantile;
      AdaptiveClip clip(terms);
      double tail = 0;
      constexpr int kSteps = 400;
      constexpr int kCounted = 200;
      for (int step = 0; step < kSteps; ++step) {
        int within = 0;
        for (int i = 0; i < 500; ++i) within += norms(random) <= clip.norm();
        clip.Update(within, 500, secure);
        if (step >= kSteps - kCounted) tail += std::log(clip.norm());
      }
      // The lognormal's own quantile.
      const double z = quantile == 0.5 ? 0 : quantile < 0.5 ? -0.8416 : 0.8416;
      EXPECT_NEAR(tail / kCounted, std::log(0.3) + 0.7 * z, 0.05)
          << initial << " " << quantile;
    }
}

// With nobody there the norm moves by the noise alone, of the size said.
TEST(AdaptiveClipTest, TheCountHasItsNoise) {
  constexpr int kTimes = 100'000;
  AdaptiveClip clip(Terms());
  SecureRandom secure;
  double squares = 0;
  double sum = 0;
  for (int i = 0; i < kTimes; ++i) {
    clip.Restore(1);
    clip.Update(250, 500, secure);
    const double noise = std::log(clip.norm()) / -0.2 * 500;
    squares += noise * noise;
    sum += noise;
  }
  EXPECT_NEAR(squares / kTimes / (25 * 25), 1,
              tests::kFarMean * std::sqrt(2.0 / kTimes));
  EXPECT_LT(std::abs(sum), tests::kFarMean * 25 * std::sqrt(kTimes));
}

TEST(AdaptiveClipTest, StaysWithinBoundsWhateverItSees) {
  AdaptiveClip clip(Terms());
  SecureRandom secure;
  for (int i = 0; i < 2000; ++i) clip.Update(0, 5000, secure);
  EXPECT_LE(clip.norm(), 1e6);
  for (int i = 0; i < 4000; ++i) clip.Update(5000, 5000, secure);
  EXPECT_GE(clip.norm(), 1e-6);
}

TEST(AdaptiveClipTest, RefusesWhatCannotBePaidFor) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refused = [](auto change) {
    auto terms = Terms();
    change(terms);
    try {
      const AdaptiveClip clip(terms);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(refused([](auto&) {}), "");
  EXPECT_NE(
      refused([](auto& t) { t.expected_batch = 11; }).find("must be above 11"),
      std::string::npos);
  EXPECT_NE(refused([](auto& t) { t.noise_multiplier = 0; }), "");
  EXPECT_NE(refused([](auto& t) { t.quantile = 1; }), "");
  EXPECT_NE(refused([&](auto& t) { t.quantile = nan; }), "");
  EXPECT_NE(refused([&](auto& t) { t.initial = nan; }), "");
  AdaptiveClip clip(Terms());
  EXPECT_THROW(clip.Restore(0), std::invalid_argument);
  EXPECT_THROW(clip.Restore(nan), std::invalid_argument);
}

}  // namespace
}  // namespace hearsay::dp
