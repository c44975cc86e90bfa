#include "daemon/noise_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>

#include "dp/gaussian_noise.h"

namespace hearsay::daemon {
namespace {

// Draws sound noise, spoils it, and refuses to see any record.
struct Spoiled final : PrivateSum {
  std::function<float(float)> spoil = [](float value) { return value; };
  int calls = 0;

  model::ClippedSumStatistics Compute(std::span<const float> /*weights*/,
                                      std::span<const std::uint32_t> rows,
                                      const PrivateSumTerms& terms,
                                      dp::SecureRandom& noise,
                                      std::span<float> gradient,
                                      PhaseSeconds& /*phases*/) override {
    EXPECT_TRUE(rows.empty());
    ++calls;
    std::fill(gradient.begin(), gradient.end(), 0.0F);
    dp::AddGaussianNoise(terms.noise_stddev, noise, gradient);
    for (float& value : gradient) value = spoil(value);
    return {};
  }
};

constexpr PrivateSumTerms kTerms{.clip_norm = 0.5, .noise_stddev = 0.55};

// A false alarm of the first test, in all its calls: once in 10^6.
TEST(NoiseCheckTest, PassesSoundNoiseOfAnySizeOfModel) {
  Spoiled sum;
  for (const std::size_t weights : {1, 50, 1000, 500'000})
    EXPECT_NO_THROW(CheckNoise(sum, weights, kTerms)) << weights;
  EXPECT_LE(sum.calls, 1000 + 1000 + 400 + 1);
}

TEST(NoiseCheckTest, FindsNoiseThatIsTwoPerCentTooSmallOrTooLarge) {
  for (const float factor : {0.98F, 0.5F, 0.0F, 1.02F}) {
    Spoiled sum;
    sum.spoil = [&](float value) { return factor * value; };
    EXPECT_THROW(CheckNoise(sum, 1000, kTerms), std::runtime_error) << factor;
  }
}

TEST(NoiseCheckTest, FindsWhatIsNoNoise) {
  Spoiled shifted;
  shifted.spoil = [](float value) { return value + 0.01F; };
  EXPECT_THROW(CheckNoise(shifted, 1000, kTerms), std::runtime_error);
  Spoiled one_sided;
  one_sided.spoil = [](float value) { return std::abs(value); };
  EXPECT_THROW(CheckNoise(one_sided, 1000, kTerms), std::runtime_error);
  Spoiled broken;
  broken.spoil = [](float /*value*/) {
    return std::numeric_limits<float>::quiet_NaN();
  };
  try {
    CheckNoise(broken, 1000, kTerms);
    FAIL() << "passed";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("do not train"));
  }
}

}  // namespace
}  // namespace hearsay::daemon
