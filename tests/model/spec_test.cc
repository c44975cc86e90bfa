#include "model/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <stdexcept>

namespace hearsay::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const ModelSpec kSpec{
    .inputs = 120,
    .layers = {{16, Activation::kTanh}, {2, Activation::kNone}},
    .loss = Loss::kSoftmaxCrossEntropy};
constexpr const char* kText =
    "hearsay-model/1 inputs=120 dense(16,tanh) dense(2,none) "
    "loss=softmax_cross_entropy";

// Peers compare these texts and their hashes: they may never change.
TEST(SpecTest, CanonicalTextIsStable) {
  EXPECT_EQ(Canonical(kSpec), kText);
  EXPECT_EQ(Canonical({3, {{1, Activation::kGelu}}, Loss::kBinaryCrossEntropy}),
            "hearsay-model/1 inputs=3 dense(1,gelu) loss=binary_cross_entropy");
  EXPECT_EQ(Canonical({1, {{7, Activation::kRelu}}, Loss::kMse}),
            "hearsay-model/1 inputs=1 dense(7,relu) loss=mse");
}

ModelSpec RandomSpec(std::mt19937& engine) {
  ModelSpec spec;
  spec.inputs = static_cast<int>(1 + engine() % 10000);
  spec.loss = static_cast<Loss>(engine() % 3);
  const std::size_t layers = 1 + engine() % 6;
  for (std::size_t l = 0; l < layers; ++l)
    spec.layers.push_back({static_cast<int>(2 + engine() % 300),
                           static_cast<Activation>(engine() % 4)});
  if (spec.loss == Loss::kBinaryCrossEntropy)
    spec.layers.back().dense().units = 1;
  return spec;
}

TEST(SpecTest, CanonicalTextReadsBackAsTheSameModel) {
  std::mt19937 engine(1);
  for (int i = 0; i < 500; ++i) {
    const ModelSpec spec = RandomSpec(engine);
    const ModelSpec back = ParseCanonical(Canonical(spec));
    ASSERT_EQ(back.inputs, spec.inputs);
    ASSERT_EQ(back.loss, spec.loss);
    ASSERT_EQ(back.layers.size(), spec.layers.size());
    for (std::size_t l = 0; l < spec.layers.size(); ++l) {
      ASSERT_EQ(back.layers[l].dense().units, spec.layers[l].dense().units);
      ASSERT_EQ(back.layers[l].dense().activation,
                spec.layers[l].dense().activation);
    }
  }
}

TEST(SpecTest, CanonicalTextOfBodiesIsStable) {
  const ModelSpec spec = {
      4,
      {Residual{.body = {LayerNorm{}, {4, Activation::kGelu}, Dropout{0.1}}},
       {2}},
      Loss::kMse};
  EXPECT_EQ(Canonical(spec),
            "hearsay-model/1 inputs=4 residual(0x0) { layer_norm() "
            "dense(4,gelu) dropout(0.1) } dense(2,none) loss=mse");
  EXPECT_EQ(ParseCanonical(Canonical(spec)).layers, spec.layers);
}

TEST(SpecTest, EveryTextThatIsReadIsTheCanonicalOne) {
  std::mt19937 engine(2);
  const std::string letters = " =(),01x";
  int read = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = kText;
    const std::size_t at = engine() % text.size();
    switch (engine() % 3) {
      case 0:
        text[at] = letters[engine() % letters.size()];
        break;
      case 1:
        text.erase(at, 1 + engine() % 8);
        break;
      default:
        text.insert(at, 1, letters[engine() % letters.size()]);
    }
    try {
      ASSERT_EQ(Canonical(ParseCanonical(text)), text);
      ++read;
    } catch (const std::invalid_argument&) {
    }
  }
  EXPECT_GT(read, 100);  // such as other numbers of units
}

class NotCanonical : public ::testing::TestWithParam<const char*> {};

TEST_P(NotCanonical, IsRefused) {
  EXPECT_THROW(ParseCanonical(GetParam()), std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(
    SpecTest, NotCanonical,
    ::testing::Values(
        "", " ", "hearsay-model/1",
        "hearsay-model/2 inputs=1 dense(1,none) loss=mse",
        "hearsay-model/1 inputs=1 loss=mse",
        "hearsay-model/1 inputs= dense(1,none) loss=mse",
        "hearsay-model/1 inputs=-1 dense(1,none) loss=mse",
        "hearsay-model/1 inputs=01 dense(1,none) loss=mse",
        "hearsay-model/1 inputs=+1 dense(1,none) loss=mse",
        "hearsay-model/1 inputs=1 dense(1,none) loss=mse ",
        "hearsay-model/1 inputs=1  dense(1,none) loss=mse",
        "hearsay-model/1 inputs=1 dense(1) loss=mse",
        "hearsay-model/1 inputs=1 dense(1,) loss=mse",
        "hearsay-model/1 inputs=1 dense(1,none loss=mse",
        "hearsay-model/1 inputs=1 dense(1,swish) loss=mse",
        "hearsay-model/1 inputs=1 dense(99999999999,none) loss=mse",
        "hearsay-model/1 inputs=1 conv(1,none) loss=mse",
        "hearsay-model/1 inputs=1 dense(1,none)",
        "hearsay-model/1 inputs=1 dense(1,none) loss=",
        "hearsay-model/1 inputs=1 dense(1,none) loss=hinge",
        "hearsay-model/1 inputs=1 residual(0x0) dense(1,none) loss=mse",
        "hearsay-model/1 inputs=1 residual(0x0) { dense(1,none) loss=mse",
        "hearsay-model/1 inputs=1 residual(0x0) { dense(1,none) }} loss=mse",
        "hearsay-model/1 inputs=1 residual(0x0) { } loss=mse",
        "hearsay-model/1 inputs=1 residual(0x0) {  dense(1,none) } loss=mse",
        "hearsay-model/1 inputs=1 { dense(1,none) } loss=mse",
        "hearsay-model/1 inputs=1 dense(1,none) } loss=mse",
        "hearsay-model/1 inputs=1 dropout(0.10) dense(1,none) loss=mse",
        "hearsay-model/1 inputs=1 dropout(nan) dense(1,none) loss=mse",
        "hearsay-model/1 inputs=1 dropout(0.5) loss=mse"));

ModelSpec Softmax(int inputs, std::vector<Layer> layers) {
  return {inputs, std::move(layers), Loss::kSoftmaxCrossEntropy};
}

TEST(SpecTest, RefusalsNameTheLayerAndWhatIsAllowed) {
  const auto refusal = [](const ModelSpec& spec) {
    return [spec] { Validate(spec); };
  };
  const auto says = [](const auto&... parts) {
    return ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr(parts)...));
  };
  EXPECT_THAT(refusal(Softmax(0, {{2}})), says("1 or more inputs", "0"));
  EXPECT_THAT(refusal(Softmax(5, {})), says("at least one layer"));
  EXPECT_THAT(refusal(Softmax(5, {{4}, {0}, {2}})),
              says("layer 1", "1 or more", "0"));
  EXPECT_THAT(refusal(Softmax(5, {{4}, {-3}, {2}})), says("layer 1", "-3"));
  EXPECT_THAT(refusal(Softmax(5, {{4}, {1}})), says("layer 1", "2 or more"));
  EXPECT_THAT(refusal({5, {{4}, {2}}, Loss::kBinaryCrossEntropy}),
              says("layer 1", "needs 1 unit", "2"));
  const int most = std::numeric_limits<int>::max();
  EXPECT_THAT(refusal(Softmax(most, {{most}, {2}})),
              says("layer 0", "parameters", "at most 2147483648"));
  EXPECT_THAT(refusal(Softmax(30000, {{30000}, {30000}, {30000}})),
              says("layer 2", "parameters"));
}

TEST(SpecTest, AcceptsTheSmallestModels) {
  EXPECT_NO_THROW(Validate({1, {{1}}, Loss::kMse}));
  EXPECT_NO_THROW(Validate({1, {{1}}, Loss::kBinaryCrossEntropy}));
  EXPECT_NO_THROW(Validate(Softmax(1, {{2}})));
}

// Names as torch.nn.Sequential(Linear, Tanh, Linear).state_dict() has them.
TEST(SpecTest, SlicesAreNamedAsPyTorchNamesThemAndTileTheArena) {
  const auto slices = ParameterSlices(kSpec);
  ASSERT_EQ(slices.size(), 4u);
  EXPECT_EQ(slices[0].name, "0.weight");
  EXPECT_EQ(slices[1].name, "0.bias");
  EXPECT_EQ(slices[2].name, "2.weight");
  EXPECT_EQ(slices[3].name, "2.bias");
  EXPECT_EQ(slices[0].shape, (std::vector<std::int64_t>{16, 120}));
  EXPECT_EQ(slices[3].shape, (std::vector<std::int64_t>{2}));
  std::size_t next = 0;
  for (const ParameterSlice& slice : slices) {
    EXPECT_EQ(slice.offset, next);
    next += slice.size();
  }
  EXPECT_EQ(next, ParameterCount(kSpec));
  EXPECT_EQ(next, 120u * 16 + 16 + 16 * 2 + 2);
  EXPECT_EQ(ParameterSlices(Softmax(3, {{4}, {2}}))[2].name, "1.weight");
}

// As a module whose members are the body, an nn.Sequential, and the projection.
TEST(SpecTest, SlicesOfBodiesAreNamedByTheirPlace) {
  const Conv2d conv{.filters = 3, .kernel = {1, 1}};
  const ModelSpec spec = {
      2,
      {Residual{.body = {GroupNorm{1}, conv,
                         Residual{.body = {Activate{Activation::kTanh}, conv}}},
                .projection = {1, 1}},
       Flatten{},
       {2}},
      Loss::kMse,
      {2, 1, 1}};
  std::vector<std::string> names;
  for (const auto& slice : ParameterSlices(spec)) names.push_back(slice.name);
  EXPECT_EQ(names, (std::vector<std::string>{
                       "0.body.0.weight", "0.body.0.bias", "0.body.1.weight",
                       "0.body.1.bias", "0.body.2.body.1.weight",
                       "0.body.2.body.1.bias", "0.projection.weight",
                       "0.projection.bias", "2.weight", "2.bias"}));
}

TEST(SpecTest, LabelsAreOneValueExceptForRegression) {
  EXPECT_EQ(LabelWidth(kSpec), 1);
  EXPECT_EQ(LabelWidth({4, {{1}}, Loss::kBinaryCrossEntropy}), 1);
  EXPECT_EQ(LabelWidth({4, {{3}}, Loss::kMse}), 3);
}

TEST(SpecTest, UnknownWordsListTheKnownOnes) {
  EXPECT_THAT(
      [] { ParseActivation("Relu"); },
      ThrowsMessage<std::invalid_argument>(AllOf(
          HasSubstr("'Relu'"), HasSubstr("none, relu, tanh, gelu, sigmoid"))));
  EXPECT_THAT([] { ParseLoss("hinge"); },
              ThrowsMessage<std::invalid_argument>(HasSubstr(
                  "softmax_cross_entropy, binary_cross_entropy, mse")));
  for (const char* word : {"none", "relu", "tanh", "gelu", "sigmoid"})
    EXPECT_EQ(Word(ParseActivation(word)), word);
}

}  // namespace
}  // namespace hearsay::model
