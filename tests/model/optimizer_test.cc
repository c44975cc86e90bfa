#include "model/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

namespace hearsay::model {
namespace {

using Kind = OptimizerSpec::Kind;

std::vector<float> Step(Optimizer& optimizer, std::vector<float> gradient) {
  std::vector<float> update(gradient.size(), 99.0f);
  optimizer.Update(gradient, update);
  return update;
}

TEST(OptimizerTest, PlainSgdStepsAgainstTheGradient) {
  const auto sgd = MakeOptimizer({.learning_rate = 0.5}, 3);
  EXPECT_EQ(Step(*sgd, {1, -2, 0}), (std::vector<float>{-0.5f, 1, 0}));
  EXPECT_EQ(Step(*sgd, {4, 0, 1}), (std::vector<float>{-2, 0, -0.5f}));
  EXPECT_TRUE(sgd->State().empty());
  EXPECT_EQ(sgd->steps(), 2u);
}

// By hand, as torch.optim.SGD does it: v = 1, 2.9, -0.39.
TEST(OptimizerTest, MomentumFollowsPyTorchsRule) {
  const auto sgd = MakeOptimizer({.learning_rate = 0.1, .momentum = 0.9}, 1);
  EXPECT_FLOAT_EQ(Step(*sgd, {1})[0], -0.1f);
  EXPECT_FLOAT_EQ(Step(*sgd, {2})[0], -0.29f);
  EXPECT_FLOAT_EQ(Step(*sgd, {-3})[0], 0.039f);
}

// A constant gradient is its own corrected mean, and its square the corrected
// second moment, at every t: each step is exactly the learning rate.
TEST(OptimizerTest, AdamStepsByTheLearningRateUnderAConstantGradient) {
  const auto adam =
      MakeOptimizer({.kind = Kind::kAdam, .learning_rate = 0.01}, 3);
  for (int t = 0; t < 200; ++t) {
    const auto update = Step(*adam, {5, -0.001f, 0});
    ASSERT_NEAR(update[0], -0.01, 1e-7) << t;
    ASSERT_NEAR(update[1], 0.01, 3e-7) << t;  // epsilon is 1e-5 of it
    ASSERT_EQ(update[2], 0);
  }
}

// Kingma and Ba 2015, Algorithm 1, transcribed in double.
TEST(OptimizerTest, AdamFollowsAlgorithmOne) {
  const OptimizerSpec spec{.kind = Kind::kAdam,
                           .learning_rate = 0.02,
                           .beta1 = 0.8,
                           .beta2 = 0.95,
                           .epsilon = 1e-3};
  const auto adam = MakeOptimizer(spec, 1);
  std::mt19937 engine(3);
  std::normal_distribution<float> normal;
  double m = 0;
  double v = 0;
  for (int t = 1; t <= 300; ++t) {
    const float g = normal(engine);
    m = 0.8 * m + 0.2 * g;
    v = 0.95 * v + 0.05 * g * g;
    const double expected = -0.02 * (m / (1 - std::pow(0.8, t))) /
                            (std::sqrt(v / (1 - std::pow(0.95, t))) + 1e-3);
    ASSERT_NEAR(Step(*adam, {g})[0], expected, 1e-7) << t;
  }
}

TEST(OptimizerTest, RestoredStateContinuesWithTheSameBits) {
  std::mt19937 engine(4);
  std::normal_distribution<float> normal;
  const auto random = [&] {
    std::vector<float> gradient(37);
    for (float& g : gradient) g = normal(engine);
    return gradient;
  };
  for (const OptimizerSpec& spec :
       {OptimizerSpec{.momentum = 0.9}, OptimizerSpec{.momentum = 0},
        OptimizerSpec{.kind = Kind::kAdam, .learning_rate = 0.01}}) {
    const auto first = MakeOptimizer(spec, 37);
    for (int t = 0; t < 10; ++t) Step(*first, random());

    const auto second = MakeOptimizer(spec, 37);
    const auto saved = first->State();
    const auto restored = second->State();
    ASSERT_EQ(saved.size(), restored.size());
    for (std::size_t i = 0; i < saved.size(); ++i) {
      EXPECT_EQ(saved[i].name, restored[i].name);
      EXPECT_EQ(saved[i].name.rfind("optimizer.", 0), 0u);
      ASSERT_EQ(saved[i].values.size(), restored[i].values.size());
      std::copy(saved[i].values.begin(), saved[i].values.end(),
                restored[i].values.begin());
    }
    second->set_steps(first->steps());
    for (int t = 0; t < 10; ++t) {
      const auto gradient = random();
      ASSERT_EQ(Step(*first, gradient), Step(*second, gradient));
    }
    EXPECT_EQ(second->steps(), 20u);
  }
}

TEST(OptimizerTest, RatesOutOfRangeAreRefusedByName) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const auto refused = [](const OptimizerSpec& spec, const char* name) {
    EXPECT_THAT([&] { MakeOptimizer(spec, 1); },
                ::testing::ThrowsMessage<std::invalid_argument>(
                    ::testing::HasSubstr(name)));
  };
  for (const double rate : {0.0, -0.1, nan, inf, 1e300, 1e-300})
    for (const Kind kind : {Kind::kSgd, Kind::kAdam})
      refused({.kind = kind, .learning_rate = rate}, "learning_rate");
  for (const double bad : {-0.1, 1.0, 0.99999999999, 2.0, nan}) {
    refused({.momentum = bad}, "momentum");
    refused({.kind = Kind::kAdam, .beta1 = bad}, "beta1");
    refused({.kind = Kind::kAdam, .beta2 = bad}, "beta2");
  }
  for (const double bad : {0.0, -1e-8, nan})
    refused({.kind = Kind::kAdam, .epsilon = bad}, "epsilon");
}

TEST(OptimizerTest, AnEmptyModelIsAnEmptyUpdate) {
  for (const Kind kind : {Kind::kSgd, Kind::kAdam})
    EXPECT_TRUE(Step(*MakeOptimizer({.kind = kind}, 0), {}).empty());
}

}  // namespace
}  // namespace hearsay::model
