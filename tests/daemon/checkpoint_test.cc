#include "daemon/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "model/safetensors.h"
#include "model/weights_file.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

using testing::HasSubstr;

CheckpointIdentity Identity() {
  model::ModelSpec spec;
  spec.inputs = 3;
  spec.layers = {{2, model::Activation::kNone}};
  return {"cluster", "a", "f00d", spec};
}

constexpr std::size_t kParameters = 3 * 2 + 2;

TrainerSnapshot At(std::uint64_t step) {
  TrainerSnapshot snapshot;
  snapshot.step = step;
  for (std::size_t i = 0; i < kParameters; ++i)
    snapshot.weights.push_back(static_cast<float>(step) +
                               0.25F * static_cast<float>(i));
  snapshot.optimizer = {{"momentum", {1, 2, 3}}};
  return snapshot;
}

class CheckpointTest : public testing::Test {
 protected:
  void Write(const TrainerSnapshot& snapshot, int keep = 3,
             const CheckpointIdentity& identity = Identity()) {
    CheckpointWriter writer(
        folder(), identity, keep,
        [this](const std::string& path, const std::string& error) {
          last_path_ = path;
          last_error_ = error;
        });
    writer.Offer(snapshot, {7, "abc"});
  }

  std::optional<LoadedCheckpoint> Load(
      const CheckpointIdentity& identity = Identity()) {
    return LoadNewestCheckpoint(folder(), identity, kParameters);
  }

  std::string LoadError(const CheckpointIdentity& identity = Identity()) {
    try {
      Load(identity);
      return "";
    } catch (const CheckpointError& error) {
      return error.what();
    }
  }

  std::filesystem::path folder() const { return folder_ / "checkpoints"; }
  std::filesystem::path File(int step) const {
    char name[64];
    std::snprintf(name, sizeof name, "step-%012d.safetensors", step);
    return folder() / name;
  }

  static void FlipByte(const std::filesystem::path& path, std::size_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char byte = static_cast<char>(file.get() ^ 0x10);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(byte);
  }

  tests::TemporaryFolder folder_;
  std::string last_path_;
  std::string last_error_;
};

TEST_F(CheckpointTest, NoFolderIsNoCheckpointAndNoError) {
  EXPECT_FALSE(Load());
}

TEST_F(CheckpointTest, ComesBackAsItWasWritten) {
  Write(At(40));
  EXPECT_EQ(last_error_, "");
  EXPECT_EQ(last_path_, File(40));
  const auto loaded = Load();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->snapshot.step, 40U);
  EXPECT_EQ(loaded->snapshot.weights, At(40).weights);
  ASSERT_EQ(loaded->snapshot.optimizer.size(), 1U);
  EXPECT_EQ(loaded->snapshot.optimizer[0].name, "momentum");
  EXPECT_EQ(loaded->snapshot.optimizer[0].values, At(40).optimizer[0].values);
  EXPECT_EQ(loaded->ledger.sequence, 7U);
  EXPECT_EQ(loaded->ledger.hash, "abc");
}

TEST_F(CheckpointTest, TheTwinComesBackAndIsInNoOtherFile) {
  auto snapshot = At(40);
  Write(snapshot);
  EXPECT_TRUE(Load()->snapshot.twin.empty());
  snapshot.step = 50;
  snapshot.twin = At(3).weights;
  Write(snapshot);
  EXPECT_EQ(Load()->snapshot.twin, snapshot.twin);
  EXPECT_EQ(Load()->snapshot.optimizer.size(), 1U);
  const auto encoded = [&](const char* kind) {
    return EncodeSnapshot(snapshot, Identity(), {7, "abc"}, kind);
  };
  EXPECT_THAT(encoded("checkpoint"), HasSubstr("mixing.twin"));
  EXPECT_THAT(encoded("weights"), testing::Not(HasSubstr("twin")));
}

TEST_F(CheckpointTest, ATwinThatIsNotFitIsDamage) {
  for (const auto& twin :
       {std::vector<float>(kParameters - 1, 1),
        std::vector<float>(kParameters,
                           std::numeric_limits<float>::infinity())}) {
    Write(At(10));
    auto snapshot = At(20);
    snapshot.twin = twin;
    Write(snapshot);
    const auto loaded = Load();
    EXPECT_EQ(loaded->snapshot.step, 10U);
    ASSERT_EQ(loaded->skipped.size(), 1U);
    EXPECT_THAT(loaded->skipped[0], HasSubstr("mixing.twin"));
  }
}

TEST_F(CheckpointTest, TheAverageComesBackAndIsInNoOtherFile) {
  auto snapshot = At(40);
  Write(snapshot);
  EXPECT_TRUE(Load()->snapshot.ema.empty());
  snapshot.step = 50;
  snapshot.ema = At(3).weights;
  snapshot.ema_steps = 44;
  Write(snapshot);
  EXPECT_EQ(Load()->snapshot.ema, snapshot.ema);
  EXPECT_EQ(Load()->snapshot.ema_steps, 44U);
  // Under names that say whose it is.
  const auto file = model::SafetensorsFile::Open(File(50));
  EXPECT_EQ(file.At("ema.0.weight").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_THAT(EncodeSnapshot(snapshot, Identity(), {7, "abc"}, "weights"),
              testing::Not(HasSubstr("ema")));
}

TEST_F(CheckpointTest, AnAverageThatIsNotFitIsDamage) {
  Write(At(10));
  auto snapshot = At(20);
  snapshot.ema.assign(kParameters, std::numeric_limits<float>::infinity());
  snapshot.ema_steps = 3;
  Write(snapshot);
  const auto loaded = Load();
  EXPECT_EQ(loaded->snapshot.step, 10U);
  ASSERT_EQ(loaded->skipped.size(), 1U);
  EXPECT_THAT(loaded->skipped[0], HasSubstr("ema.0.weight"));
}

TEST_F(CheckpointTest, WhatIsFrozenIsInTheFileAndNotInWhatIsLoaded) {
  auto identity = Identity();
  identity.model->layers = {{2, model::Activation::kTanh}, {2}};
  identity.frozen = {{true, false}, {1, 2, 3, 4, 5, 6, 7, 8}};
  auto snapshot = At(10);
  snapshot.weights = {10, 11, 12, 13, 14, 15};
  snapshot.ema = {20, 21, 22, 23, 24, 25};
  snapshot.ema_steps = 2;
  Write(snapshot, 3, identity);
  const auto loaded = LoadNewestCheckpoint(folder(), identity, 6);
  EXPECT_EQ(loaded->snapshot.weights, snapshot.weights);
  EXPECT_EQ(loaded->snapshot.ema, snapshot.ema);
  // The file is a whole model to whoever reads it.
  const auto live = model::ReadWeights(File(10));
  EXPECT_EQ(
      std::vector<float>(live.weights.span().begin(),
                         live.weights.span().end()),
      (std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15}));
  const auto average = model::ReadWeights(File(10), model::Which::kEma);
  EXPECT_EQ(average.weights.span()[0], 1);
  EXPECT_EQ(average.weights.span()[8], 20);
}

TEST_F(CheckpointTest, TheNewestIsUsedAndOnlySoManyAreKept) {
  for (const int step : {5, 100, 20, 1000})
    Write(At(static_cast<std::uint64_t>(step)), 2);
  EXPECT_EQ(Load()->snapshot.step, 1000U);
  EXPECT_TRUE(std::filesystem::exists(File(100)));
  EXPECT_FALSE(std::filesystem::exists(File(20)));
  EXPECT_FALSE(std::filesystem::exists(File(5)));
}

TEST_F(CheckpointTest, ATruncatedNewestGivesWayToTheOneBefore) {
  Write(At(10));
  Write(At(20));
  std::filesystem::resize_file(File(20),
                               std::filesystem::file_size(File(20)) - 3);
  const auto loaded = Load();
  EXPECT_EQ(loaded->snapshot.step, 10U);
  ASSERT_EQ(loaded->skipped.size(), 1U);
  EXPECT_THAT(loaded->skipped[0], HasSubstr(File(20).string()));
}

TEST_F(CheckpointTest, EveryFlippedByteIsNoticed) {
  Write(At(10));
  const auto size = std::filesystem::file_size(File(10));
  for (std::size_t at = 0; at < size; at += 1) {
    FlipByte(File(10), at);
    EXPECT_NE(LoadError(), "") << "byte " << at;
    FlipByte(File(10), at);
  }
  EXPECT_EQ(LoadError(), "");
}

TEST_F(CheckpointTest, WhenNoneIsWholeItSaysWhatToDo) {
  Write(At(10));
  FlipByte(File(10), 100);
  EXPECT_THAT(LoadError(), HasSubstr("no whole checkpoint is left"));
  EXPECT_THAT(LoadError(), HasSubstr("aside"));
}

TEST_F(CheckpointTest, AnotherClustersNodesOrModelsAreRefusedByName) {
  Write(At(10));
  auto identity = Identity();
  identity.cluster = "other";
  EXPECT_THAT(LoadError(identity),
              HasSubstr("is of cluster cluster, this node's is other"));
  identity = Identity();
  identity.node = "b";
  EXPECT_THAT(LoadError(identity), HasSubstr("is of node a, this node's is b"));
  identity = Identity();
  identity.fingerprint = "beef";
  EXPECT_THAT(LoadError(identity), HasSubstr("is of model f00d"));
}

TEST_F(CheckpointTest, WeightsThatAreNotFiniteAreNotLoaded) {
  auto snapshot = At(10);
  snapshot.weights[2] = std::numeric_limits<float>::infinity();
  Write(snapshot);
  EXPECT_THAT(LoadError(), HasSubstr("not finite"));
}

TEST_F(CheckpointTest, ALeftoverTemporaryIsIgnored) {
  Write(At(10));
  std::ofstream(folder() / ".step-000000000020.safetensors.tmp") << "half";
  EXPECT_EQ(Load()->snapshot.step, 10U);
}

TEST_F(CheckpointTest, HalvesThatACrashLeftAreSweptAwayByTheNextWholeOne) {
  Write(At(10));
  const auto half = folder() / "step-000000000020.safetensors.1-0.tmp";
  const auto foreign = folder() / "notes.tmp";
  std::ofstream(half) << "half";
  std::ofstream(foreign) << "not ours";
  Write(At(30));
  EXPECT_FALSE(std::filesystem::exists(half));
  EXPECT_TRUE(std::filesystem::exists(foreign));
}

// A run that fell back below damaged checkpoints writes steps below theirs.
TEST_F(CheckpointTest, DamagedNewerOnesDoNotPushWholeOnesOut) {
  for (const int step : {10, 20, 30})
    Write(At(static_cast<std::uint64_t>(step)));
  FlipByte(File(20), 200);
  FlipByte(File(30), 200);
  Write(At(11), 1);
  EXPECT_TRUE(std::filesystem::exists(File(11)));
  EXPECT_FALSE(std::filesystem::exists(File(10)));
  ASSERT_TRUE(Load());
  EXPECT_EQ(Load()->snapshot.step, 11U);
}

TEST_F(CheckpointTest, AFolderThatCannotBeMadeIsAnError) {
  std::ofstream(folder_ / "checkpoints") << "a file is in the way";
  EXPECT_THROW(Write(At(1)), CheckpointError);
}

TEST_F(CheckpointTest, AFailedWriteIsReportedAndTheOldOneStays) {
  Write(At(10));
  std::filesystem::create_directories(File(20));  // Cannot be replaced.
  Write(At(20));
  EXPECT_NE(last_error_, "");
  std::filesystem::remove(File(20));
  EXPECT_EQ(Load()->snapshot.step, 10U);
}

TEST_F(CheckpointTest, ExportedWeightsLeaveTheOptimiserOut) {
  std::ofstream(folder_ / "w.safetensors")
      << EncodeSnapshot(At(3), Identity(), {}, "weights");
  const auto file = model::SafetensorsFile::Open(folder_ / "w.safetensors");
  ASSERT_EQ(file.tensors().size(), 2U);
  EXPECT_EQ(file.metadata().at("hearsay.kind"), "weights");
  EXPECT_EQ(file.Floats("0.bias").size(), 2U);
}

}  // namespace
}  // namespace hearsay::daemon
