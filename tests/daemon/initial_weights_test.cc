// What a run begins with: a file's weights, what is frozen of them, and what
// two nodes must have in common.
#include "daemon/initial_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "model/weights_file.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

const model::ModelSpec kSpec{
    2, {{3, model::Activation::kTanh}, {2}}, model::Loss::kSoftmaxCrossEntropy};

class InitialWeightsTest : public testing::Test {
 protected:
  InitialWeightsTest() : all_(model::ParameterCount(kSpec)) {
    std::iota(all_.begin(), all_.end(), 0.5F);
    config_.node.name = "a";
    config_.cluster.name = "test";
    identity_.model = kSpec;
    identity_.fingerprint = "f00d";
  }

  void UseFile() {
    config_.model.weights = folder_ / "w.safetensors";
    model::WriteSafetensors(config_.model.weights,
                            model::WeightTensors(kSpec, all_), {});
  }

  tests::TemporaryFolder folder_;
  Config config_;
  CheckpointIdentity identity_;
  std::vector<float> all_;
};

TEST_F(InitialWeightsTest, WithoutAFileTheyFollowFromPublicWords) {
  const auto first = InitialWeights(config_, identity_);
  EXPECT_EQ(first, InitialWeights(config_, identity_));
  config_.train.seed = 2;
  EXPECT_NE(first, InitialWeights(config_, identity_));
}

TEST_F(InitialWeightsTest, AreThoseOfTheFileIfThereIsOne) {
  UseFile();
  EXPECT_EQ(InitialWeights(config_, identity_), all_);
}

TEST_F(InitialWeightsTest, WhatIsFrozenIsApart) {
  UseFile();
  config_.model.frozen = {true, false};
  identity_.frozen = ReadFrozen(config_, kSpec);
  constexpr std::ptrdiff_t kFirstLayer = 2 * 3 + 3;
  EXPECT_EQ(identity_.frozen.values,
            std::vector<float>(all_.begin(), all_.begin() + kFirstLayer));
  EXPECT_EQ(InitialWeights(config_, identity_),
            std::vector<float>(all_.begin() + kFirstLayer, all_.end()));
}

TEST_F(InitialWeightsTest, NodesWithOtherFrozenValuesOrLayersDoNotMatch) {
  EXPECT_EQ(FrozenText({}), "");
  const auto text = FrozenText({{true, false}, {1, 2}});
  EXPECT_THAT(text, HasSubstr("frozen=0"));
  EXPECT_EQ(text, FrozenText({{true, false}, {1, 2}}));
  EXPECT_NE(text, FrozenText({{true, false}, {1, 2.5F}}));
  EXPECT_NE(text, FrozenText({{false, true}, {1, 2}}));
}

TEST_F(InitialWeightsTest, WhatCannotBeIsRefusedNamingTheLayer) {
  UseFile();
  config_.model.frozen = {true, true};
  EXPECT_THAT([&] { ReadFrozen(config_, kSpec); },
              ThrowsMessage<ConfigError>(HasSubstr("nothing is left")));
  config_.model.frozen = {true, false};
  auto other = kSpec;
  other.layers[1].dense().units = 5;
  EXPECT_THAT([&] { ReadFrozen(config_, other); },
              ThrowsMessage<model::FileError>(
                  HasSubstr("layer 1 (dense) of its model needs [5, 3]")));
  config_.model.weights = folder_ / "none.safetensors";
  EXPECT_THAT([&] { InitialWeights(config_, identity_); },
              ThrowsMessage<model::FileError>(HasSubstr("none.safetensors")));
}

}  // namespace
}  // namespace hearsay::daemon
