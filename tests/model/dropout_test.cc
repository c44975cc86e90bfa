// Dropout: its masks are those of another implementation of the same stream,
// gradients and norms are those of the model that the masks make, and
// evaluation knows nothing of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/cpu/masks.h"
#include "tests/model/models.h"
#include "tests/model/reference.h"

namespace hearsay::model {
namespace {

constexpr StepKey kKey = {0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c,
                          0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c};
constexpr StepKey kOtherKey = {1, 2, 3, 4, 5, 6, 7, 8};

// The test vector of RFC 8439, 2.3.2.
TEST(ReferenceChaChaTest, IsThatOfTheStandard) {
  const auto block =
      ReferenceChaCha20(kKey, 1, {0x09000000, 0x4a000000, 0x00000000});
  const ChaChaBlock expected = {0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3,
                                0xc7f4d1c7, 0x0368c033, 0x9aaa2204, 0x4e6cd4c3,
                                0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
                                0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2};
  EXPECT_EQ(block, expected);
}

TEST(MasksTest, AreTheWordsOfTheStream) {
  cpu::Masks masks;
  EXPECT_FALSE(masks.needed());
  EXPECT_EQ(masks.NewStream(), 0u);
  EXPECT_EQ(masks.NewStream(), 1u);
  masks.Begin(kKey);
  masks.Train(3);
  masks.Train(4);  // examples 3 to 6 of the step
  const double rate = 0.3;
  std::vector<float> factors(1000);
  masks.Draw(1, 2, rate, factors.size(), factors.data());
  int dropped = 0;
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const auto block =
        ReferenceChaCha20(kKey, static_cast<std::uint32_t>(i / 16), {1, 5, 0});
    const bool out = block[i % 16] < rate * 0x1p32;
    ASSERT_EQ(factors[i], out ? 0.0f : static_cast<float>(1 / 0.7)) << i;
    dropped += out ? 1 : 0;
  }
  EXPECT_NEAR(dropped, 300, 75);  // 5 standard deviations
}

TEST(MasksTest, DifferByExampleByLayerAndByKey) {
  cpu::Masks masks;
  const auto drawn = [&](const StepKey& key, std::uint32_t stream, int b) {
    masks.Begin(key);
    masks.Train(8);
    std::vector<float> factors(64);
    masks.Draw(stream, b, 0.5, factors.size(), factors.data());
    return factors;
  };
  const auto one = drawn(kKey, 0, 0);
  EXPECT_EQ(drawn(kKey, 0, 0), one);
  EXPECT_NE(drawn(kKey, 1, 0), one);
  EXPECT_NE(drawn(kKey, 0, 1), one);
  EXPECT_NE(drawn(kOtherKey, 0, 0), one);
}

std::vector<Tested> DropoutModels() {
  using enum Activation;
  const Loss loss = Loss::kSoftmaxCrossEntropy;
  return {
      {"Between",
       {4, {{8, kTanh}, Dropout{0.4}, {6}, Dropout{0.1}, {3}}, loss}},
      {"First", {7, {Dropout{0.5}, {3}}, loss}},
      {"Last", {4, {{5}, Dropout{0.25}}, Loss::kMse}},
      {"Never", {4, {{5}, Dropout{0}, {2}}, loss}},
      {"InBodies",
       Images({2, 4, 4},
              {Conv2d{.filters = 2, .kernel = {3, 3}, .padding = {1, 1}},
               Dropout{0.3},
               Residual{.body = {Activate{kTanh}, Dropout{0.5},
                                 Conv2d{.filters = 2, .kernel = {1, 1}}}},
               Dropout{0.2},
               Flatten{},
               {2}})},
  };
}

class DropoutTest : public ::testing::TestWithParam<Tested> {
 protected:
  static ReferenceMasks Masks(int example) {
    return {.key = kKey, .example = static_cast<std::uint32_t>(example)};
  }
  static Vector Gradient(const Case& examples, int b) {
    const ReferenceMasks masks = Masks(b);
    return examples.Gradient(b, &masks);
  }
};

TEST_P(DropoutTest, GradientsAndNormsAreThoseOfTheMaskedModel) {
  const Case examples(GetParam().spec, 6, 71);
  const auto network = MakeCpuNetwork(examples.spec, 6);
  std::vector<float> sum(examples.weights.size());
  network->BeginStep(kKey);
  const double loss = network->AddSum(examples.weights, examples.batch(), sum);
  std::vector<float> norms(6);
  network->BeginStep(kKey);
  network->GradientNorms(examples.weights, examples.batch(), norms);
  Vector expected(sum.size());
  double expected_loss = 0;
  for (int b = 0; b < 6; ++b) {
    const Vector gradient = Gradient(examples, b);
    for (std::size_t p = 0; p < sum.size(); ++p) expected[p] += gradient[p];
    const ReferenceMasks masks = Masks(b);
    expected_loss += examples.Loss(b, &masks);
    EXPECT_NEAR(norms[static_cast<std::size_t>(b)], Norm(gradient),
                1e-5 * (1 + Norm(gradient)));
  }
  for (std::size_t p = 0; p < sum.size(); ++p)
    EXPECT_NEAR(sum[p], expected[p], 8e-6 * (1 + std::abs(expected[p]))) << p;
  EXPECT_NEAR(loss, expected_loss, 2e-5);
}

TEST_P(DropoutTest, ClippedSumEqualsTheLoopWhateverTheSlices) {
  const Case examples(GetParam().spec, 7, 72);
  const double clip_norm = 0.4;
  Vector expected(examples.weights.size());
  for (int b = 0; b < 7; ++b) {
    const Vector gradient = Gradient(examples, b);
    const double norm = Norm(gradient);
    for (std::size_t p = 0; p < expected.size(); ++p)
      expected[p] += std::min(1.0, clip_norm / norm) * gradient[p];
  }
  const auto network = MakeCpuNetwork(examples.spec, 7);
  for (const int first : {0, 1, 5}) {
    std::vector<float> sum(expected.size());
    network->BeginStep(kKey);
    network->AddClippedSum(examples.weights, examples.Rows(0, first), clip_norm,
                           sum);
    network->AddClippedSum(examples.weights, examples.Rows(first, 7 - first),
                           clip_norm, sum);
    for (std::size_t p = 0; p < sum.size(); ++p)
      EXPECT_NEAR(sum[p], expected[p],
                  4e-5 * std::abs(expected[p]) + 3e-5 * clip_norm)
          << p;
  }
}

TEST_P(DropoutTest, EvaluationKnowsNothingOfIt) {
  const Case examples(GetParam().spec, 4, 73);
  const auto network = MakeCpuNetwork(examples.spec, 4);
  const auto outputs = static_cast<std::size_t>(Outputs(examples.spec));
  std::vector<float> sum(examples.weights.size());
  for (int round = 0; round < 2; ++round) {
    std::vector<float> predicted(4 * outputs);
    network->Predict(examples.weights, 4, examples.features, predicted);
    double loss = 0;
    for (int b = 0; b < 4; ++b) {
      const Vector expected = ReferenceOutputs(
          examples.spec, examples.Weights(), examples.Features(b));
      for (std::size_t o = 0; o < outputs; ++o)
        EXPECT_NEAR(predicted[static_cast<std::size_t>(b) * outputs + o],
                    expected[o], 5e-6 * (1 + std::abs(expected[o])));
      loss += examples.Loss(b);
    }
    EXPECT_NEAR(network->Evaluate(examples.weights, examples.batch()).loss_sum,
                loss, 1e-5);
    network->BeginStep(kKey);  // and again behind a step of training
    network->AddClippedSum(examples.weights, examples.batch(), 1, sum);
  }
}

INSTANTIATE_TEST_SUITE_P(Every, DropoutTest,
                         ::testing::ValuesIn(DropoutModels()),
                         [](const auto& tested) { return tested.param.name; });

TEST(DropoutDeathTest, TrainingWithoutAKeyIsTheCallersMistake) {
  const Case examples({4, {{5}, Dropout{0.5}, {2}}, Loss::kMse}, 2, 74);
  const auto network = MakeCpuNetwork(examples.spec, 2);
  std::vector<float> sum(examples.weights.size());
  EXPECT_DEATH(
      network->AddClippedSum(examples.weights, examples.batch(), 1, sum),
      "BeginStep");
}

}  // namespace
}  // namespace hearsay::model
