// What a run begins with: here momentum's twin, from a checkpoint or without.
#include "daemon/run.h"

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

}  // namespace
}  // namespace hearsay::daemon
