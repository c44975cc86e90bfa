#include "model/initialise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

namespace hearsay::model {
namespace {

using Key = std::array<std::uint8_t, 32>;

Key Counting() {
  Key key;
  std::iota(key.begin(), key.end(), std::uint8_t{0});
  return key;
}

std::vector<float> Initialised(const ModelSpec& spec, const Key& key) {
  std::vector<float> weights(ParameterCount(spec), 7.0f);
  Initialise(spec, key, weights);
  return weights;
}

// From a Python transcription of the standard's [rand.util.seedseq] and
// [rand.eng.mers]; a node built with any other library must agree bit for bit.
TEST(InitialiseTest, IsTheSameOnEveryMachine) {
  const ModelSpec spec{
      2, {{3, Activation::kTanh}, {2, Activation::kRelu}, {1}}, Loss::kMse};
  const std::vector<float> expected = {-0x1.90cd0ap-3f,
                                       -0x1.3912c8p-1f,
                                       0x1.53b9aap-2f,
                                       0x1.45ee2ap-1f,
                                       -0x1.b34ebap-2f,
                                       -0x1.350152p-1f,
                                       0.0f,
                                       0.0f,
                                       0.0f,
                                       0x1.4a4ca4p+0f,
                                       0x1.7ac3e6p-2f,
                                       0x1.1e5c44p+0f,
                                       0x1.2652c6p+0f,
                                       0x1.211de2p-3f,
                                       -0x1.d295e2p-1f,
                                       0.0f,
                                       0.0f,
                                       0x1.8cc524p-1f,
                                       -0x1.199942p+0f,
                                       0.0f};
  EXPECT_EQ(Initialised(spec, Counting()), expected);
}

TEST(InitialiseTest, EveryByteOfTheKeyMatters) {
  const ModelSpec spec{4, {{2}}, Loss::kMse};
  const auto base = Initialised(spec, Key{});
  for (std::size_t i = 0; i < 32; ++i) {
    Key key{};
    key[i] = 1;
    EXPECT_NE(Initialised(spec, key), base) << "byte " << i;
  }
}

// Glorot: sqrt(6 / (in + out)); He: sqrt(6 / in).
TEST(InitialiseTest, WeightsFillTheBoundOfTheirActivation) {
  const struct {
    Activation activation;
    double bound;
  } cases[] = {{Activation::kNone, std::sqrt(6.0 / 300)},
               {Activation::kTanh, std::sqrt(6.0 / 300)},
               {Activation::kRelu, std::sqrt(6.0 / 100)},
               {Activation::kGelu, std::sqrt(6.0 / 100)}};
  for (const auto& [activation, bound] : cases) {
    const ModelSpec spec{100, {{200, activation}}, Loss::kMse};
    const auto weights = Initialised(spec, Counting());
    double sum = 0;
    double squares = 0;
    double largest = 0;
    for (std::size_t i = 0; i < 20000; ++i) {
      sum += weights[i];
      squares += static_cast<double>(weights[i]) * weights[i];
      largest = std::max(largest, std::abs(static_cast<double>(weights[i])));
    }
    EXPECT_LT(largest, bound);
    EXPECT_GT(largest, 0.999 * bound);
    // Five standard deviations of the mean and of the variance of 20,000
    // uniform draws; the key is fixed, so this never flickers.
    EXPECT_NEAR(sum / 20000, 0, 5 * bound / std::sqrt(3.0 * 20000));
    EXPECT_NEAR(squares / 20000 / (bound * bound / 3), 1,
                5 * std::sqrt(0.8 / 20000));
    for (std::size_t i = 20000; i < weights.size(); ++i)
      EXPECT_EQ(weights[i], 0) << "bias";
  }
}

}  // namespace
}  // namespace hearsay::model
