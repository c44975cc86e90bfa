#include "model/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>

namespace hearsay::model {
namespace {

using Kind = OptimizerSpec::Kind;

// At weights of 0, where nothing decays.
std::vector<float> Step(Optimizer& optimizer, std::vector<float> gradient) {
  const std::vector<float> weights(gradient.size());
  std::vector<float> update(gradient.size(), 99.0f);
  optimizer.Update(weights, gradient, update);
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
  for (const OptimizerSpec& spec : {
           OptimizerSpec{.momentum = 0.9}, OptimizerSpec{.momentum = 0},
           OptimizerSpec{.momentum = 0.9, .nesterov = true},
           OptimizerSpec{
               .momentum = 0.9,
 .schedule = {.kind = Schedule::Kind::kCosine, .warmup_steps = 3, .steps = 20}},
           OptimizerSpec{.kind = Kind::kAdamW, .learning_rate = 0.01},
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
  for (const double bad : {-0.1, 1.0, nan})
    refused({.kind = Kind::kAdamW, .weight_decay = bad}, "weight_decay");
  refused({.momentum = 0, .nesterov = true}, "nesterov needs a momentum");
  refused({.schedule = {.kind = Schedule::Kind::kStep}}, "decay_every");
}

// Without a gradient AdamW leaves (1 - rate * decay)^t of the weights.
TEST(OptimizerTest, AdamWShrinksTheWeightsWhateverTheGradientsScale) {
  const auto adamw = MakeOptimizer(
      {.kind = Kind::kAdamW, .learning_rate = 0.1, .weight_decay = 0.5}, 2);
  std::vector<float> weights = {4, -2}, update(2);
  const std::vector<float> gradient = {0, 0};
  for (int t = 0; t < 10; ++t) {
    adamw->Update(weights, gradient, update);
    for (std::size_t i = 0; i < 2; ++i) weights[i] += update[i];
  }
  const double left = std::pow(1 - 0.1 * 0.5, 10);
  EXPECT_NEAR(weights[0], 4 * left, 1e-6);
  EXPECT_NEAR(weights[1], -2 * left, 1e-6);
}

// What tests/oracles/make_optimizers.py had PyTorch do: lines of "name", then
// a line of weights before the first step and after each, gradients first.
TEST(OptimizerTest, FollowsPyTorchStepByStep) {
  using Curve = Schedule::Kind;
  const std::map<std::string, OptimizerSpec> specs = {
      {"sgd", {.learning_rate = 0.05}},
      {"momentum", {.learning_rate = 0.05, .momentum = 0.9}},
      {"nesterov", {.learning_rate = 0.05, .momentum = 0.8, .nesterov = true}},
      {"adam",
       {.kind = Kind::kAdam,
        .learning_rate = 0.02,
        .beta1 = 0.85,
        .beta2 = 0.97,
        .epsilon = 1e-6}},
      {"adamw",
       {.kind = Kind::kAdamW, .learning_rate = 0.02, .weight_decay = 0.1}},
      {"momentum_warmup_cosine",
       {.learning_rate = 0.05,
        .momentum = 0.9,
        .schedule = {.kind = Curve::kCosine,
                     .warmup_steps = 5,
                     .steps = 24,
                     .floor = 0.1}}},
      {"adamw_warmup_step",
       {.kind = Kind::kAdamW,
        .learning_rate = 0.02,
        .weight_decay = 0.1,
        .schedule = {.kind = Curve::kStep,
                     .warmup_steps = 4,
                     .steps = 24,
                     .every = 6,
                     .factor = 0.3}}}};
  std::ifstream file(HEARSAY_SOURCE_DIR "/tests/oracles/optimizers.tsv");
  const auto line = [&file] {
    std::string text;
    std::getline(file, text);
    std::istringstream words(text);
    return std::vector<float>{std::istream_iterator<float>(words), {}};
  };
  std::string name;
  std::vector<std::vector<float>> gradients;
  std::size_t seen = 0;
  while (std::getline(file, name)) {
    if (name.starts_with('#')) continue;
    SCOPED_TRACE(name);
    if (name == "gradients") {
      for (int t = 0; t < 24; ++t) gradients.push_back(line());
      continue;
    }
    ASSERT_TRUE(specs.contains(name));
    ++seen;
    std::vector<float> weights = line();
    ASSERT_EQ(weights.size(), 3u);
    const auto optimizer = MakeOptimizer(specs.at(name), weights.size());
    for (const auto& gradient : gradients) {
      std::vector<float> update(weights.size());
      optimizer->Update(weights, gradient, update);
      const std::vector<float> expected = line();
      ASSERT_EQ(expected.size(), weights.size());
      for (std::size_t i = 0; i < weights.size(); ++i) {
        weights[i] += update[i];
        ASSERT_NEAR(weights[i], expected[i], 1e-6) << optimizer->steps();
      }
    }
  }
  EXPECT_EQ(gradients.size(), 24u);
  EXPECT_EQ(seen, specs.size());
}

TEST(OptimizerTest, AnEmptyModelIsAnEmptyUpdate) {
  for (const Kind kind : {Kind::kSgd, Kind::kAdam, Kind::kAdamW})
    EXPECT_TRUE(Step(*MakeOptimizer({.kind = kind}, 0), {}).empty());
}

}  // namespace
}  // namespace hearsay::model
