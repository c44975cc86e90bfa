// The [train] section: optimisers, schedules, and keys that belong to others.
#include "daemon/train_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class TrainConfigTest : public testing::Test {
 protected:
  Config::Train Load(const std::string& keys, const Overrides& flags = {}) {
    std::ofstream(folder_ / "node.toml")
        << "[train]\nsteps = 100\nsample_rate = 0.1\npublic_size = 10\n"
        << keys;
    ConfigReader reader(folder_ / "node.toml", flags);
    Config::Train train;
    ReadTrain(reader, train, false);
    reader.RefuseUnknown();
    return train;
  }
  std::string Error(const std::string& keys) {
    try {
      Load(keys);
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  }
  tests::TemporaryFolder folder_;
};

constexpr const char* kAdamW = R"(optimizer = "adamw"
learning_rate = 0.002
beta1 = 0.8
beta2 = 0.95
adam_epsilon = 1e-6
weight_decay = 0.03
schedule = "cosine"
warmup_steps = 20
rate_floor = 0.05
ema = 0.99
)";
constexpr const char* kNesterov = R"(momentum = 0.9
nesterov = true
schedule = "step"
decay_every = 30
decay_factor = 0.5
)";

TEST_F(TrainConfigTest, ReadsEveryOptimizerAndSchedule) {
  const auto adamw = Load(kAdamW);
  EXPECT_EQ(adamw.optimizer.kind, model::OptimizerSpec::Kind::kAdamW);
  EXPECT_EQ(adamw.optimizer.learning_rate, 0.002);
  EXPECT_EQ(adamw.optimizer.beta1, 0.8);
  EXPECT_EQ(adamw.optimizer.beta2, 0.95);
  EXPECT_EQ(adamw.optimizer.epsilon, 1e-6);
  EXPECT_EQ(adamw.optimizer.weight_decay, 0.03);
  EXPECT_EQ(adamw.ema, 0.99);
  EXPECT_EQ(adamw.optimizer.schedule,
            (model::Schedule{.kind = model::Schedule::Kind::kCosine,
                             .warmup_steps = 20,
                             .steps = 100,
                             .floor = 0.05}));
  const auto sgd = Load(kNesterov);
  EXPECT_TRUE(sgd.optimizer.nesterov);
  EXPECT_EQ(sgd.optimizer.schedule,
            (model::Schedule{.kind = model::Schedule::Kind::kStep,
                             .steps = 100,
                             .every = 30,
                             .factor = 0.5}));
  EXPECT_EQ(Load("optimizer = \"adam\"\n").optimizer.learning_rate, 0.001)
      << "Adam's usual rate, not SGD's";
}

TEST_F(TrainConfigTest, WhatIsPrintedSaysTheSameAgain) {
  for (const std::string keys : {"", kAdamW, kNesterov}) {
    const auto printed = TrainKeys(Load(keys));
    std::ofstream(folder_ / "again.toml") << "[train]\n" << printed;
    ConfigReader reader(folder_ / "again.toml", {});
    Config::Train again;
    ReadTrain(reader, again, false);
    reader.RefuseUnknown();
    EXPECT_EQ(TrainKeys(again), printed);
  }
}

TEST_F(TrainConfigTest, ATruthIsNoWordAndMayBeGivenByAFlag) {
  EXPECT_THAT(Error("momentum = 0.5\nnesterov = \"yes\"\n"),
              HasSubstr("train.nesterov: must be true or false"));
  const Overrides flags = {{"train.nesterov", "true"},
                           {"train.momentum", "0.5"}};
  EXPECT_TRUE(Load("", flags).optimizer.nesterov);
}

TEST_F(TrainConfigTest, AKeyThatWouldBeIgnoredIsRefused) {
  const auto refused = [&](const std::string& keys, const char* key,
                           const char* why) {
    EXPECT_THAT(Error(keys), AllOf(HasSubstr(key), HasSubstr(why))) << keys;
  };
  refused("optimizer = \"adam\"\nmomentum = 0.9\n", "train.momentum", "sgd");
  refused("beta1 = 0.9\n", "train.beta1", "adamw");
  refused("beta2 = 0.9\n", "train.beta2", "adamw");
  refused("adam_epsilon = 1e-8\n", "train.adam_epsilon", "adamw");
  refused("optimizer = \"adam\"\nweight_decay = 0.1\n", "train.weight_decay",
          "adamw");
  refused("nesterov = true\n", "train.nesterov", "momentum above 0");
  refused("rate_floor = 0.1\n", "train.rate_floor", "cosine");
  refused("decay_every = 3\n", "train.decay_every", "step");
  refused("decay_factor = 0.5\n", "train.decay_factor", "step");
  refused("schedule = \"step\"\n", "train.decay_every", "required");
  refused("schedule = \"linear\"\n", "train.schedule", "\"cosine\"");
  refused("optimizer = \"lamb\"\n", "train.optimizer", "\"adamw\"");
  refused("warmup_steps = 100\n", "train.warmup_steps", "below train.steps");
  refused("ema = 1.0\n", "train.ema", "out of range");
}

}  // namespace
}  // namespace hearsay::daemon
