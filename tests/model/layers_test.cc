// Every layer beyond the plain dense one, alone and in company: gradients and
// norms against central differences in double, the clipped sum against a loop,
// the bound that the privacy claim rests on, and what must be refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "model/arena.h"
#include "model/cpu/weight_gradient.h"
#include "model/presets.h"
#include "tests/model/models.h"
#include "tests/model/reference.h"

namespace hearsay::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class LayersTest : public ::testing::TestWithParam<Tested> {};

// Nine examples and their gradients by central differences, found once for all
// that is held against them.
struct Differences {
  explicit Differences(const ModelSpec& spec) : examples(spec, 9, 54) {
    for (int b = 0; b < 9; ++b) gradients.push_back(examples.Gradient(b));
  }
  Case examples;
  std::vector<Vector> gradients;
};
const Differences& DifferencesOf(const Tested& tested) {
  static std::map<std::string, Differences, std::less<>> known;
  return known.try_emplace(tested.name, tested.spec).first->second;
}

TEST_P(LayersTest, SumIsTheSumOfFiniteDifferences) {
  const auto& [examples, gradients] = DifferencesOf(GetParam());
  const auto network = MakeCpuNetwork(examples.spec, 5);
  std::vector<float> sum(examples.weights.size(), 0.25f);
  const double loss =
      network->AddSum(examples.weights, examples.Rows(2, 5), sum);
  Vector expected(sum.size(), 0.25);
  double expected_loss = 0;
  for (int b = 2; b < 7; ++b) {
    const Vector& gradient = gradients[static_cast<std::size_t>(b)];
    for (std::size_t p = 0; p < sum.size(); ++p) expected[p] += gradient[p];
    expected_loss += examples.Loss(b);
  }
  for (std::size_t p = 0; p < sum.size(); ++p)
    EXPECT_NEAR(sum[p], expected[p], 8e-6 * (1 + std::abs(expected[p]))) << p;
  EXPECT_NEAR(loss, expected_loss, 2e-5);
}

TEST_P(LayersTest, NormsAreThoseOfEachExamplesOwnGradient) {
  const auto& [examples, gradients] = DifferencesOf(GetParam());
  const auto network = MakeCpuNetwork(examples.spec, 9);
  std::vector<float> norms(9);
  network->GradientNorms(examples.weights, examples.batch(), norms);
  for (std::size_t b = 0; b < 9; ++b) {
    const double expected = Norm(gradients[b]);
    EXPECT_NEAR(norms[b], expected, 1e-5 * (1 + expected)) << b;
  }
}

TEST_P(LayersTest, PredictionsAreTheReferences) {
  const Case examples(GetParam().spec, 4, 53);
  const auto network = MakeCpuNetwork(examples.spec, 6);
  const auto outputs = static_cast<std::size_t>(Outputs(examples.spec));
  std::vector<float> predicted(4 * outputs);
  network->Predict(examples.weights, 4, examples.features, predicted);
  for (int b = 0; b < 4; ++b) {
    const Vector expected = ReferenceOutputs(examples.spec, examples.Weights(),
                                             examples.Features(b));
    for (std::size_t o = 0; o < outputs; ++o)
      EXPECT_NEAR(predicted[static_cast<std::size_t>(b) * outputs + o],
                  expected[o], 5e-6 * (1 + std::abs(expected[o])));
  }
}

TEST_P(LayersTest, ClippedSumEqualsTheLoop) {
  const auto& [examples, gradients] = DifferencesOf(GetParam());
  std::vector<double> norms;
  for (const Vector& gradient : gradients) norms.push_back(Norm(gradient));
  std::vector<double> sorted = norms;
  std::sort(sorted.begin(), sorted.end());
  const double clip_norm = 0.5 * (sorted[3] + sorted[4]);
  Vector expected(examples.weights.size());
  for (std::size_t b = 0; b < 9; ++b)
    for (std::size_t p = 0; p < expected.size(); ++p)
      expected[p] += std::min(1.0, clip_norm / norms[b]) * gradients[b][p];

  const auto network = MakeCpuNetwork(examples.spec, 9);
  std::vector<float> sum(expected.size());
  const auto statistics = network->AddClippedSum(
      examples.weights, examples.batch(), clip_norm, sum);
  EXPECT_EQ(statistics.clipped, 5);
  EXPECT_EQ(statistics.rejected, 0);
  for (std::size_t p = 0; p < sum.size(); ++p)
    EXPECT_NEAR(sum[p], expected[p],
                4e-5 * std::abs(expected[p]) + 3e-5 * clip_norm)
        << p;
}

// Without tolerance, over wild magnitudes.
TEST_P(LayersTest, OneExampleNeverAddsMoreThanTheClipNorm) {
  std::mt19937 engine(55);
  std::uniform_real_distribution<double> exponent(-9, 9);
  const auto network = MakeCpuNetwork(GetParam().spec, 1);
  int clipped = 0;
  for (unsigned i = 0; i < 300; ++i) {
    Case examples(GetParam().spec, 1, 2000 + i);
    const auto feature_scale =
        static_cast<float>(std::pow(10.0, i % 3 == 0 ? 0 : exponent(engine)));
    const auto weight_scale =
        static_cast<float>(std::pow(10.0, 0.3 * exponent(engine)));
    for (float& feature : examples.features) feature *= feature_scale;
    for (float& weight : examples.weights) weight *= weight_scale;
    const double clip_norm = std::pow(10.0, 0.5 * exponent(engine));
    std::vector<float> sum(examples.weights.size());
    const auto statistics = network->AddClippedSum(
        examples.weights, examples.batch(), clip_norm, sum);
    ASSERT_LE(Norm({sum.begin(), sum.end()}), clip_norm) << "case " << i;
    clipped += statistics.clipped;
  }
  EXPECT_GT(clipped, 20);
}

TEST_P(LayersTest, LeavingOneExampleOutMovesTheSumByAtMostTheClipNorm) {
  const Case examples(GetParam().spec, 8, 56);
  const auto network = MakeCpuNetwork(examples.spec, 8);
  const double clip_norm = 0.2;
  std::vector<float> whole(examples.weights.size());
  network->AddClippedSum(examples.weights, examples.batch(), clip_norm, whole);
  for (int left_out = 0; left_out < 8; ++left_out) {
    std::vector<float> rest(whole.size());
    network->AddClippedSum(examples.weights, examples.Rows(0, left_out),
                           clip_norm, rest);
    network->AddClippedSum(examples.weights,
                           examples.Rows(left_out + 1, 7 - left_out), clip_norm,
                           rest);
    Vector difference(rest.size());
    for (std::size_t p = 0; p < rest.size(); ++p)
      difference[p] = static_cast<double>(whole[p]) - rest[p];
    ASSERT_LE(Norm(difference), clip_norm * (1 + 1e-5));
  }
}

TEST_P(LayersTest, SpoiledExamplesAddNothingAndTheOthersStay) {
  for (const float poison : {kNaN, kInfinity, -kInfinity, 1e38f}) {
    const Case clean(GetParam().spec, 6, 57);
    Case spoiled = clean;
    const auto width = static_cast<std::size_t>(clean.spec.inputs);
    for (const std::size_t row : {0, 3}) {
      std::fill_n(
          spoiled.features.begin() + static_cast<std::ptrdiff_t>(row * width),
          width, poison);
    }
    const auto network = MakeCpuNetwork(clean.spec, 6);
    std::vector<float> sum(clean.weights.size());
    const auto statistics =
        network->AddClippedSum(spoiled.weights, spoiled.batch(), 0.7, sum);
    std::vector<float> others(sum.size());
    network->AddClippedSum(clean.weights, clean.Rows(1, 2), 0.7, others);
    network->AddClippedSum(clean.weights, clean.Rows(4, 2), 0.7, others);
    if (std::isfinite(poison)) {  // Bounded activations may make it usable.
      Vector difference(sum.size());
      for (std::size_t p = 0; p < sum.size(); ++p)
        difference[p] = static_cast<double>(sum[p]) - others[p];
      EXPECT_LE(Norm(difference), 2 * 0.7 * (1 + 1e-5));
      continue;
    }
    EXPECT_EQ(statistics.rejected, 2) << poison;
    for (std::size_t p = 0; p < sum.size(); ++p)
      ASSERT_NEAR(sum[p], others[p], 4e-6) << p << " with " << poison;
    // Nothing of them stays behind.
    const auto fresh = MakeCpuNetwork(clean.spec, 6);
    std::vector<float> again(sum.size());
    std::vector<float> first(sum.size());
    network->AddClippedSum(clean.weights, clean.batch(), 0.7, again);
    fresh->AddClippedSum(clean.weights, clean.batch(), 0.7, first);
    EXPECT_EQ(again, first);
  }
}

TEST_P(LayersTest, AnEmptyBatchAddsNothing) {
  const Case examples(GetParam().spec, 0, 58);
  const auto network = MakeCpuNetwork(examples.spec, 2);
  std::vector<float> sum(examples.weights.size());
  const auto statistics =
      network->AddClippedSum(examples.weights, examples.batch(), 1.0, sum);
  EXPECT_EQ(statistics.clipped + statistics.rejected, 0);
  EXPECT_EQ(network->AddSum(examples.weights, examples.batch(), sum), 0);
  EXPECT_EQ(sum, std::vector<float>(sum.size()));
  network->GradientNorms(examples.weights, examples.batch(), {});
  network->Predict(examples.weights, 0, {}, {});
}

TEST_P(LayersTest, CanonicalTextReadsBackAsTheSameModel) {
  const ModelSpec& spec = GetParam().spec;
  const ModelSpec back = ParseCanonical(Canonical(spec));
  EXPECT_EQ(back.layers, spec.layers) << Canonical(spec);
  EXPECT_EQ(back.shape, spec.shape);
  EXPECT_EQ(back.inputs, spec.inputs);
}

TEST_P(LayersTest, SlicesTileTheArenaAndEveryNameIsItsOwn) {
  std::size_t next = 0;
  std::vector<std::string> names;
  for (const ParameterSlice& slice : ParameterSlices(GetParam().spec)) {
    EXPECT_EQ(slice.offset, next);
    next += slice.size();
    names.push_back(slice.name);
  }
  EXPECT_EQ(next, ParameterCount(GetParam().spec));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
}

INSTANTIATE_TEST_SUITE_P(Every, LayersTest, ::testing::ValuesIn(Models()),
                         [](const auto& tested) { return tested.param.name; });

// T addends that cancel almost wholly: the rounding of their float32 sum may
// exceed the margin, and must not exceed the bound.
TEST(WeightGradientBoundTest, HoldsWhereTheAddendsCancel) {
  const ModelSpec spec = Images(
      {1, 1, 40}, {Conv2d{.filters = 64, .kernel = {1, 1}}, Flatten{}, {2}});
  const ModelSpec ghost = Images(
      {1, 5, 9}, {Conv2d{.filters = 12, .kernel = {5, 5}}, Flatten{}, {2}});
  for (const ModelSpec& of : {spec, ghost})
    for (unsigned seed = 0; seed < 200; ++seed) {
      Case examples(of, 1, seed);
      // An input that is almost the same everywhere, and gradients whose sum
      // over the places is almost nothing.
      for (float& feature : examples.features) feature = 1000 + 1e-4f * feature;
      const std::size_t head = ParameterSlices(of)[2].offset;
      const auto places =
          static_cast<std::size_t>(Shapes(of)[1][1] * Shapes(of)[1][2]);
      for (std::size_t i = head; i + 2 < examples.weights.size(); i += places) {
        double sum = 0;
        for (std::size_t t = 0; t + 1 < places; ++t)
          sum += examples.weights[i + t];
        examples.weights[i + places - 1] = static_cast<float>(-sum);
      }
      const auto network = MakeCpuNetwork(of, 1);
      for (const double clip_norm : {1e-3, 1.0}) {
        std::vector<float> sum(examples.weights.size());
        const auto seen = network->AddClippedSum(
            examples.weights, examples.batch(), clip_norm, sum);
        ASSERT_EQ(seen.rejected, 0) << "the root of a negative square?";
        ASSERT_LE(Norm({sum.begin(), sum.end()}), clip_norm) << seed;
      }
    }
}

// The same input at every place, and gradients whose sum over the places is 0
// to the last bit: the square of the norm may come out below 0.
TEST(WeightGradientBoundTest, HasANormWhereNothingIsLeft) {
  constexpr int T = 6;
  constexpr int kWidth = 9;
  cpu::WeightGradient gradient({T, kWidth, kWidth});
  ASSERT_TRUE(gradient.ghost());
  cpu::Cutter count(nullptr);
  gradient.Cut(count, 1);
  Arena arena(count.used());
  cpu::Cutter cutter(arena.span().data());
  gradient.Cut(cutter, 1);
  std::mt19937 engine(63);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 200; ++i) {
    std::vector<float> a(T * kWidth);
    std::vector<float> g(T * kWidth);
    for (int o = 0; o < kWidth; ++o) {
      const float value = normal(engine);
      float sum = 0;
      for (int t = 0; t < T; ++t) {
        a[static_cast<std::size_t>(t * kWidth + o)] = value;
        const auto part = static_cast<float>(engine() % 1000);
        g[static_cast<std::size_t>(t * kWidth + o)] = t + 1 < T ? part : -sum;
        sum += part;
      }
    }
    const double squared = gradient.SquaredNorm(0, a.data(), g.data());
    ASSERT_GE(squared, 0) << i;
    ASSERT_LT(squared, 1) << i;  // Where the addends are 1e7.
  }
}

TEST(PresetsTest, TheMnistCnnHasAsManyParametersAsEverywhereElse) {
  const ModelSpec spec = Preset("mnist-cnn");
  Validate(spec);
  EXPECT_EQ(ParameterCount(spec), 26010u);
  EXPECT_EQ(ParseCanonical(Canonical(spec)).layers, spec.layers);
}

// 2748890 without biases, as the original has its convolutions.
struct BadCode {
  float value;
  bool good;
};

TEST(EmbeddingTest, WhatIsNoCodeOfTheVocabularyIsRejected) {
  const ModelSpec spec = Codes(3, {Embedding{.vocabulary = 4, .units = 2},
                                   Activate{Activation::kRelu},
                                   Flatten{},
                                   {2}});
  for (const auto& [value, good] :
       {BadCode{3, true}, BadCode{0, true}, BadCode{-0.0f, true},
        BadCode{4, false}, BadCode{-1, false}, BadCode{0.5f, false},
        BadCode{3.0000002f, false}, BadCode{1e38f, false},
        BadCode{-kInfinity, false}, BadCode{kNaN, false}}) {
    Case examples(spec, 4, 61);
    examples.features[4] = value;
    const auto network = MakeCpuNetwork(spec, 4);
    std::vector<float> sum(examples.weights.size());
    const auto seen =
        network->AddClippedSum(examples.weights, examples.batch(), 1e-3, sum);
    EXPECT_EQ(seen.rejected, good ? 0 : 1) << value;
    std::vector<float> others(sum.size());
    network->AddClippedSum(examples.weights, examples.Rows(0, 1), 1e-3, others);
    network->AddClippedSum(examples.weights, examples.Rows(2, 2), 1e-3, others);
    if (good) continue;
    for (std::size_t p = 0; p < sum.size(); ++p)
      ASSERT_NEAR(sum[p], others[p], 1e-8) << value;
    std::vector<float> predicted(8);
    network->Predict(examples.weights, 4, examples.features, predicted);
    EXPECT_TRUE(std::isnan(predicted[2])) << value;
    EXPECT_FALSE(std::isnan(predicted[0])) << value;
  }
}

TEST(TableEmbeddingTest, WhatIsNoCodeOfItsColumnIsRejected) {
  const ModelSpec spec = Codes(3, {TableEmbedding{{4, 0, 2}, 2}, {2}});
  for (const auto& [value, good] :
       {BadCode{1, true}, BadCode{2, false}, BadCode{0.5f, false},
        BadCode{-1, false}, BadCode{kNaN, false}}) {
    Case examples(spec, 2, 62);
    examples.features[5] = value;  // of the last column
    const auto network = MakeCpuNetwork(spec, 2);
    std::vector<float> sum(examples.weights.size());
    const auto seen =
        network->AddClippedSum(examples.weights, examples.batch(), 1e-3, sum);
    EXPECT_EQ(seen.rejected, good ? 0 : 1) << value;
  }
}

TEST(PresetsTest, TheWideResnetHasAsManyParametersAsEverywhereElse) {
  constexpr unsigned kBiases =
      16 + (4 * 64 + 64) + (4 * 128 + 128) + (4 * 256 + 256);
  EXPECT_EQ(ParameterCount(Preset("wide-resnet-16-4")), 2748890u + kBiases);
}

TEST(PresetsTest, EveryPresetIsAModelOfTheOutputsThatItIsAskedFor) {
  for (const std::string& name : PresetNames()) {
    ModelSpec spec = Preset(name, 3);
    if (spec.inputs == 0) spec.inputs = 12;
    EXPECT_NO_THROW(Validate(spec)) << name;
    EXPECT_EQ(Outputs(spec), 3) << name;
    EXPECT_NO_THROW(MakeCpuNetwork(spec, 2)) << name;
  }
  EXPECT_THAT([] { Preset("gpt"); },
              ThrowsMessage<std::invalid_argument>(
                  AllOf(HasSubstr("gpt"), HasSubstr("mnist-cnn"))));
}

struct Refused {
  ModelSpec spec;
  std::vector<std::string> says;
};

// Residual blocks inside each other.
Layer DeepBody(int depth) {
  Layer layer = {4, Activation::kTanh};
  for (int i = 0; i < depth; ++i) layer = Residual{.body = {layer}};
  return layer;
}

TEST(LayerRefusalTest, BodiesMayBeAsDeepAsIsSaid) {
  const ModelSpec spec = {4, {DeepBody(kDeepestBody), {2}}, Loss::kMse};
  EXPECT_EQ(ParseCanonical(Canonical(spec)).layers, spec.layers);
  const ModelSpec deeper = {4, {DeepBody(kDeepestBody + 1), {2}}, Loss::kMse};
  EXPECT_THAT([&] { ParseCanonical(Canonical(deeper)); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("too deep")));
}

TEST(LayerRefusalTest, NamesTheLayerByIndexAndType) {
  const int huge = 1 << 15;
  const Conv2d conv{.filters = 2, .kernel = {3, 3}};
  const Refused cases[] = {
      {{9, {conv, Flatten{}, {2}}, Loss::kMse},
       {"layer 0 (conv2d)", "needs an image"}},
      {Images({1, 2, 2}, {Activate{Activation::kTanh}, conv, Flatten{}}),
       {"layer 1 (conv2d)", "covers 3 in height", "2"}},
      {Images({1, 4, 4}, {{2}}), {"layer 0 (dense)", "flatten"}},
      {Images({1, 4, 4}, {conv}), {"layer 0 (conv2d)", "flat"}},
      {Images({3, 4, 4},
              {Conv2d{.filters = 4, .kernel = {2, 2}, .groups = 2}, Flatten{}}),
       {"layer 0 (conv2d)", "2 groups", "3 channels", "4 filters"}},
      {Images({1, 4, 4}, {Conv2d{.filters = 2, .kernel = {2, 0}}, Flatten{}}),
       {"layer 0 (conv2d)", "kernel must be 1 or more"}},
      {Images({1, 4, 4},
              {Conv2d{.filters = 2, .kernel = {2, 2}, .stride = {0, 1}},
               Flatten{}}),
       {"layer 0 (conv2d)", "stride"}},
      {Images({1, 4, 4},
              {Conv2d{.filters = 2, .kernel = {2, 2}, .padding = {-1, 0}},
               Flatten{}}),
       {"layer 0 (conv2d)", "padding"}},
      {Images({1, 4, 4},
              {Conv2d{.filters = 2, .kernel = {1, 1}, .padding = {huge + 1, 0}},
               Flatten{}}),
       {"layer 0 (conv2d)", "padding must be 32768 or less"}},
      {Images({1, 4, 4}, {Conv2d{.filters = 1 << 30,
                                 .kernel = {1, 1},
                                 .padding = {huge, huge}},
                          Flatten{}}),
       {"layer 0 (conv2d)", "values"}},
      {Images({1, 4, 4},
              {MaxPool2d{.kernel = {2, 2}, .stride = {1, 1}, .padding = {2, 2}},
               Flatten{}}),
       {"layer 0 (max_pool2d)", "half of the kernel"}},
      {Images({1, 4, 4}, {AvgPool2d{.kernel = {2, 2}}, Flatten{}}),
       {"layer 0 (avg_pool2d)", "stride"}},
      {{4, {{3}, Activate{Activation::kRelu}, {2}}, Loss::kMse},
       {"layer 1 (relu)", "activation of the dense layer"}},
      {{4, {Flatten{}}, Loss::kMse}, {"has parameters"}},
      {Images({3, 4, 4}, {GroupNorm{2}, Flatten{}, {2}}),
       {"layer 0 (group_norm)", "2 groups must divide the 3 channels"}},
      {Images({3, 4, 4}, {GroupNorm{0}, Flatten{}, {2}}),
       {"layer 0 (group_norm)", "groups must be 1 or more, not 0"}},
      {{4, {GroupNorm{2}, {2}}, Loss::kMse},
       {"layer 0 (group_norm)", "needs an image"}},
      {Images({3, 4, 4}, {LayerNorm{}, Flatten{}, {2}}),
       {"layer 0 (layer_norm)", "group_norm with groups = 1"}},
      {{4, {{4}, Dropout{1}, {2}}, Loss::kMse},
       {"layer 1 (dropout)", "less than 1, not 1"}},
      {{4, {{4}, Dropout{-0.5}, {2}}, Loss::kMse},
       {"layer 1 (dropout)", "rate", "-0.5"}},
      {{4, {{4}, Dropout{std::nan("")}, {2}}, Loss::kMse},
       {"layer 1 (dropout)", "rate", "nan"}},
      {{4, {Residual{.body = {{3}}}, {2}}, Loss::kMse},
       {"layer 0 (residual)", "(3) of (4)", "projection"}},
      {{4, {Residual{}, {2}}, Loss::kMse},
       {"layer 0 (residual)", "computes something"}},
      {{4, {Residual{.body = {Flatten{}}}, {2}}, Loss::kMse},
       {"layer 0 (residual)", "computes something"}},
      {{4, {{4}, Residual{.body = {{4}, {0}}}, {2}}, Loss::kMse},
       {"layer 1 (residual): layer 1 (dense)", "units must be 1 or more"}},
      {{4, {Residual{.body = {{4}}, .projection = {1, 1}}, {2}}, Loss::kMse},
       {"layer 0 (residual)", "needs an image"}},
      {Images({3, 4, 4},
              {Residual{.body = {conv}, .projection = {1, 1}}, Flatten{}}),
       {"layer 0 (residual)", "(2, 2, 2) of (3, 4, 4)", "(2, 4, 4)"}},
      {Images({3, 4, 4},
              {Residual{.body = {conv}, .projection = {2, 0}}, Flatten{}}),
       {"layer 0 (residual)", "projection must be 1 or more"}},
      {{4, {{4}, Embedding{5, 2}, Flatten{}, {2}}, Loss::kMse},
       {"layer 1 (embedding)", "first layer of the model"}},
      {{4, {Residual{.body = {Embedding{5, 1}, Flatten{}}}, {2}}, Loss::kMse},
       {"layer 0 (residual)", "first layer of the model"}},
      {Sequences(2, 3, {Embedding{5, 2}, Flatten{}, {2}}),
       {"layer 0 (embedding)", "needs codes", "(2, 3)"}},
      {{4, {Embedding{0, 2}, Flatten{}, {2}}, Loss::kMse},
       {"layer 0 (embedding)", "vocabulary must be 1 or more"}},
      {{4, {Embedding{(1 << 24) + 1, 2}, Flatten{}, {2}}, Loss::kMse},
       {"layer 0 (embedding)", "vocabulary must be 16777216 or less"}},
      {{4, {Embedding{5, 0}, Flatten{}, {2}}, Loss::kMse},
       {"layer 0 (embedding)", "units must be 1 or more"}},
      {{4, {TableEmbedding{{3, 0, 1}, 2}, {2}}, Loss::kMse},
       {"layer 0 (table_embedding)", "3 columns", "(4)"}},
      {{2, {TableEmbedding{{0, 0}, 2}, {2}}, Loss::kMse},
       {"layer 0 (table_embedding)", "all are numbers"}},
      {{2, {TableEmbedding{{3, -1}, 2}, {2}}, Loss::kMse},
       {"layer 0 (table_embedding)", "categories must be 0 or more"}},
      {{2, {TableEmbedding{{3, 0}, 0}, {2}}, Loss::kMse},
       {"layer 0 (table_embedding)", "units must be 1 or more"}},
      {{2, {TableEmbedding{{3, 1 << 25}, 2}, {2}}, Loss::kMse},
       {"layer 0 (table_embedding)", "categories must be 16777216 or less"}},
      {Sequences(2, 6, {Attention{4}, Flatten{}, {2}}),
       {"layer 0 (attention)", "4 heads must divide the 6 values"}},
      {Sequences(2, 6, {Attention{0}, Flatten{}, {2}}),
       {"layer 0 (attention)", "heads must be 1 or more"}},
      {{4, {{4}, Attention{2}, {2}}, Loss::kMse},
       {"layer 1 (attention)", "needs a sequence", "(4)"}},
      {Sequences(1 << 20, 2, {Attention{2}, SequenceMean{}, {2}}),
       {"layer 0 (attention)", "more values than are supported"}},
      {{4, {{4}, SequenceMean{}, {2}}, Loss::kMse},
       {"layer 1 (sequence_mean)", "needs a sequence"}},
      {{4, {PositionEmbedding{}, {2}}, Loss::kMse},
       {"layer 0 (position_embedding)", "needs a sequence"}},
      {Sequences(3, 4, {{2}}), {"layer 0 (dense)", "flat", "(3, 2)"}},
      {Images({1, 4, 4}, {LayerNorm{}, Flatten{}, {2}}),
       {"layer 0 (layer_norm)", "(1, 4, 4)"}},
      {{4, {DeepBody(kDeepestBody + 1), {2}}, Loss::kMse},
       {"layer 0 (residual)", "at most 4 deep"}},
      {{5, {Flatten{}, {2}}, Loss::kMse, {1, 2, 2}}, {"5 values", "(1, 2, 2)"}},
      {{4, {{2}}, Loss::kMse, {4}}, {"4 values", "(4)"}},
  };
  for (const Refused& refused : cases) {
    std::string message = "accepted";
    try {
      Validate(refused.spec);
    } catch (const std::invalid_argument& error) {
      message = error.what();
    }
    for (const std::string& part : refused.says)
      EXPECT_THAT(message, HasSubstr(part));
  }
}

TEST(LayerRefusalTest, BatchNormIsRefusedWithTheReason) {
  for (const char* type : {"batch_norm", "batch_norm2d"})
    EXPECT_THAT([&] { LayerOfType(type); },
                ThrowsMessage<std::invalid_argument>(
                    AllOf(HasSubstr("no example has a gradient of its own"),
                          HasSubstr("group_norm"))));
  EXPECT_THAT([] { LayerOfType("lstm"); },
              ThrowsMessage<std::invalid_argument>(
                  AllOf(HasSubstr("'lstm'"), HasSubstr("conv2d, max_pool2d"))));
}

TEST(PlainTest, OnlyDenseLayersOnFlatInputsArePlain) {
  std::string why;
  EXPECT_TRUE(IsPlain({4, {{3, Activation::kGelu}, {2}}, Loss::kMse}));
  EXPECT_FALSE(IsPlain(Preset("mnist-cnn"), &why));
  EXPECT_EQ(why, "layer 0 (conv2d)");
  EXPECT_FALSE(
      IsPlain({4, {{3}, {3, Activation::kSigmoid}, {2}}, Loss::kMse}, &why));
  EXPECT_THAT(why, HasSubstr("layer 1"));
}

}  // namespace
}  // namespace hearsay::model
