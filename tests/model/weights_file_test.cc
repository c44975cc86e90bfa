#include "model/weights_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "tests/support/temporary_folder.h"

namespace hearsay::model {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const ModelSpec kStoredSpec{
    4, {{3, Activation::kTanh}, {2}}, Loss::kSoftmaxCrossEntropy};

class WeightsFileTest : public ::testing::Test {
 protected:
  WeightsFileTest() : weights_(ParameterCount(kStoredSpec)) {
    std::iota(weights_.begin(), weights_.end(), 1.5f);
    metadata_ = {{kKindKey, kCheckpointKind},
                 {kModelKey, Canonical(kStoredSpec)},
                 {kStepKey, "17"}};
  }

  std::vector<Tensor> Tensors() const {
    return WeightTensors(kStoredSpec, weights_);
  }
  std::filesystem::path Write(const std::vector<Tensor>& tensors) {
    WriteSafetensors(folder_ / "w.safetensors", tensors, metadata_);
    return folder_ / "w.safetensors";
  }
  void ExpectRefused(const std::vector<Tensor>& tensors,
                     const std::string& why) {
    const auto path = Write(tensors);
    EXPECT_THAT([&] { ReadWeights(path); },
                ThrowsMessage<FileError>(::testing::AllOf(
                    HasSubstr(path.string()), HasSubstr(why))));
  }

  tests::TemporaryFolder folder_;
  std::vector<float> weights_;
  Metadata metadata_;
};

TEST_F(WeightsFileTest, ReadsBackWhatWasWritten) {
  const std::vector<float> velocity(weights_.size(), 0.5f);
  auto tensors = Tensors();
  // As a tensor of another length than any slice, and out of order.
  tensors.insert(tensors.begin(),
                 {.name = "optimizer.velocity",
                  .shape = {static_cast<std::int64_t>(velocity.size())},
                  .bytes = std::as_bytes(std::span(velocity))});
  std::swap(tensors[1], tensors[4]);
  const WeightsFile read = ReadWeights(Write(tensors));
  EXPECT_EQ(Canonical(read.spec), Canonical(kStoredSpec));
  EXPECT_TRUE(std::ranges::equal(read.weights.span(), weights_));
  EXPECT_EQ(read.metadata.at(kStepKey), "17");
  EXPECT_TRUE(
      std::ranges::equal(read.file.Floats("optimizer.velocity"), velocity));
}

TEST_F(WeightsFileTest, RefusesFilesOfOtherKinds) {
  metadata_[kKindKey] = "shard";
  ExpectRefused(Tensors(), "is a \"shard\"");
  metadata_.erase(kKindKey);
  ExpectRefused(Tensors(), "hearsay.kind");
  metadata_[kKindKey] = kWeightsKind;
  metadata_.erase(kModelKey);
  ExpectRefused(Tensors(), "hearsay.model");
  metadata_[kModelKey] = "a large language model";
  ExpectRefused(Tensors(), "not a model description");
}

TEST_F(WeightsFileTest, RefusesTensorsThatAreNotTheModels) {
  auto tensors = Tensors();
  tensors.pop_back();
  ExpectRefused(tensors, "2.bias");

  tensors = Tensors();
  std::swap(tensors[0].shape[0], tensors[0].shape[1]);
  ExpectRefused(tensors, "tensor \"0.weight\" has shape [4, 3]");

  tensors = Tensors();
  tensors[3].dtype = DType::kI32;
  ExpectRefused(tensors, "\"2.bias\" is not F32");

  tensors = Tensors();
  tensors.push_back(tensors[3]);
  tensors.back().name = "4.bias";
  ExpectRefused(tensors, "\"4.bias\" is no part");

  // A model that would need gigabytes is refused by what the file has.
  metadata_[kModelKey] =
      Canonical({30000, {{30000}, {2}}, Loss::kSoftmaxCrossEntropy});
  ExpectRefused(Tensors(), "is no part");
  tensors = Tensors();
  tensors[2].name = "1.weight";
  tensors[3].name = "1.bias";
  ExpectRefused(tensors, "needs [30000, 30000]");
}

TEST_F(WeightsFileTest, RefusesValuesThatAreNotFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          -std::numeric_limits<float>::infinity()}) {
    weights_.back() = bad;
    ExpectRefused(Tensors(), "\"2.bias\" has a value that is not finite, at 1");
  }
}

// Whatever a checkpoint holds beside the weights is no stranger.
TEST_F(WeightsFileTest, ReadsACheckpointOfAnyRun) {
  const std::vector<float> twin(weights_.size(), 3), average(2, 0.25f);
  auto tensors = Tensors();
  tensors.push_back({.name = "mixing.twin",
                     .shape = {static_cast<std::int64_t>(twin.size())},
                     .bytes = std::as_bytes(std::span(twin))});
  const auto path = Write(tensors);
  EXPECT_TRUE(std::ranges::equal(ReadWeights(path).weights.span(), weights_));
  EXPECT_THAT([&] { ReadWeights(path, Which::kEma); },
              ThrowsMessage<FileError>(HasSubstr("train.ema")));

  // An average of the last layer's bias only, as if all else were frozen.
  tensors.push_back({.name = "ema.2.bias",
                     .shape = {2},
                     .bytes = std::as_bytes(std::span(average))});
  Write(tensors);
  EXPECT_TRUE(std::ranges::equal(ReadWeights(path).weights.span(), weights_));
  auto expected = weights_;
  std::ranges::copy(average, expected.end() - 2);
  EXPECT_TRUE(std::ranges::equal(ReadWeights(path, Which::kEma).weights.span(),
                                 expected));
}

TEST_F(WeightsFileTest, InitialWeightsNeedNoMetadata) {
  metadata_ = {{"format", "pt"}};
  const auto path = Write(Tensors());
  EXPECT_TRUE(std::ranges::equal(ReadInitialWeights(path, kStoredSpec).span(),
                                 weights_));
  EXPECT_THROW(ReadWeights(path), FileError);
}

TEST_F(WeightsFileTest, InitialWeightsThatDoNotFitAreRefusedByLayer) {
  const auto refused = [&](const std::vector<Tensor>& tensors,
                           const ModelSpec& spec, const std::string& why) {
    const auto path = Write(tensors);
    EXPECT_THAT([&] { ReadInitialWeights(path, spec); },
                ThrowsMessage<FileError>(::testing::AllOf(
                    HasSubstr(path.string()), HasSubstr(why))));
  };
  refused(Tensors(), {4, {{3, Activation::kTanh}, {5}}, kStoredSpec.loss},
          "tensor \"2.weight\" has shape [2, 3], layer 1 (dense) of its model "
          "needs [5, 3]");
  refused(Tensors(), {4, {{3}, {2}}, kStoredSpec.loss},
          "has no tensor \"1.weight\" of shape [2, 3] for layer 1 (dense) of "
          "the model; it has: 0.weight, 0.bias, 2.weight, 2.bias");
  auto tensors = Tensors();
  tensors.push_back(tensors[3]);
  tensors.back().name = "4.bias";
  refused(tensors, kStoredSpec, "\"4.bias\" is no part");
  tensors = Tensors();
  tensors[0].name = "fc1.weight";
  refused(tensors, kStoredSpec, "has no tensor \"0.weight\"");
  weights_[1] = std::numeric_limits<float>::quiet_NaN();
  refused(Tensors(), kStoredSpec,
          "\"0.weight\" has a value that is not finite");
}

}  // namespace
}  // namespace hearsay::model
