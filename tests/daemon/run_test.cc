// What a run begins with, from a checkpoint or without: momentum's twin, the
// average of the weights, the optimiser's state.
#include "daemon/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

using Values = std::vector<float>;

class RunTest : public testing::Test {
 protected:
  RunTest() {
    config_.node.name = "a";
    config_.node.state_dir = folder_.path();
    config_.cluster.name = "test";
    config_.test.probe = "quadratic";
    config_.test.dimension = 2;
  }

  void Save(const TrainerSnapshot& snapshot) {
    auto run = PrepareRun(config_, events_);
    CheckpointWriter(config_.node.state_dir / "checkpoints", run.identity, 1,
                     [](const auto&, const auto&) {})
        .Offer(snapshot, {});
  }

  // The weights and the twin that a run begins with.
  std::pair<Values, Values> Begun() {
    const auto run = PrepareRun(config_, events_);
    Values weights(2), twin(2);
    run.weights->SnapshotBoth(weights, twin);
    return {weights, twin};
  }

  tests::TemporaryFolder folder_;
  Config config_;
  Events events_;
};

TEST_F(RunTest, AFreshTwinIsTheWeights) {
  config_.mixing.momentum = mixing::Momentum::kAcid;
  EXPECT_EQ(Begun(), std::pair(Values({0, 1}), Values({0, 1})));
}

TEST_F(RunTest, ATwinGoesOnFromItsCheckpoint) {
  config_.mixing.momentum = mixing::Momentum::kAcid;
  Save({.step = 7, .weights = {1, 2}, .twin = {3, 4}, .optimizer = {}});
  EXPECT_EQ(Begun(), std::pair(Values({1, 2}), Values({3, 4})));
}

TEST_F(RunTest, WhereACheckpointHasNoTwinItBeginsAtTheWeights) {
  config_.mixing.momentum = mixing::Momentum::kAcid;
  Save({.step = 7, .weights = {1, 2}, .twin = {}, .optimizer = {}});
  EXPECT_EQ(Begun(), std::pair(Values({1, 2}), Values({1, 2})));
}

TEST_F(RunTest, ATwinThatIsNotWantedAnyMoreIsLeftOut) {
  Save({.step = 7, .weights = {1, 2}, .twin = {3, 4}, .optimizer = {}});
  const auto run = PrepareRun(config_, events_);
  EXPECT_FALSE(run.weights->has_twin());
  Values weights(2);
  run.weights->Snapshot(weights);
  EXPECT_EQ(weights, Values({1, 2}));
}

TEST_F(RunTest, AnAverageGoesOnFromItsCheckpoint) {
  config_.train.ema = 0.9;
  Save({.step = 7, .weights = {1, 2}, .ema = {5, 6}, .ema_steps = 4});
  const auto run = PrepareRun(config_, events_);
  EXPECT_EQ(run.ema->steps(), 4U);
  Values average(2);
  run.ema->Snapshot(average);
  EXPECT_EQ(average, Values({5, 6}));
}

TEST_F(RunTest, WhereACheckpointHasNoAverageItBeginsWithTheNextStep) {
  Save({.step = 7, .weights = {1, 2}});
  EXPECT_FALSE(PrepareRun(config_, events_).ema);
  config_.train.ema = 0.9;
  EXPECT_EQ(PrepareRun(config_, events_).ema->steps(), 0U);
}

TEST_F(RunTest, OptimizerStateGoesOnBetweenTheAdamsAndNoOthers) {
  using Kind = model::OptimizerSpec::Kind;
  Save({.step = 7,
        .weights = {1, 2},
        .optimizer = {{"optimizer.first_moment", {0.5F, 0.25F}},
                      {"optimizer.second_moment", {0.75F, 1}}}});
  for (const Kind kind : {Kind::kAdam, Kind::kAdamW}) {
    config_.train.optimizer.kind = kind;
    const auto run = PrepareRun(config_, events_);
    EXPECT_EQ(run.optimizer->steps(), 7U);
    EXPECT_EQ(run.optimizer->State()[1].values[0], 0.75F);
  }
  config_.train.optimizer.kind = Kind::kSgd;
  config_.train.optimizer.momentum = 0.9;
  EXPECT_THAT([&] { PrepareRun(config_, events_); },
              testing::ThrowsMessage<CheckpointError>(
                  testing::HasSubstr("train.optimizer")));
}

}  // namespace
}  // namespace hearsay::daemon
