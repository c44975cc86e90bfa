// Steps in bf16 against the same by hand, rounded where the device rounds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "model/cuda_backend.h"
#include "tests/model/cuda_fixture.h"
#include "tests/model/cuda_models.h"
#include "tests/model/reference.h"
#include "tests/model/rounded_step.h"

namespace hearsay::model {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Deep enough that every kind of layer's norm is added up by tiles, of widths
// that fill no tile; narrower than a tile; and wider than a warp at the end.
const ModelSpec kDeep = {200,
                         {{150, Activation::kRelu},
                          {140, Activation::kTanh},
                          {130, Activation::kGelu},
                          {7}},
                         Loss::kSoftmaxCrossEntropy};
const ModelSpec kWideAlone = {301, {{45}}, Loss::kSoftmaxCrossEntropy};
const ModelSpec kWideBinary = {
    190, {{60, Activation::kTanh}, {1}}, Loss::kBinaryCrossEntropy};

// The oracle of the steps below, where no GPU is needed.
TEST(RoundedStepTest, IsTheSumOfTheCpuAndRoundingMovesItALittle) {
  for (const auto& spec : {kDeep, kWideRegression, kWideBinary}) {
    const Case shard(spec, 20, 85);
    const auto cpu = MakeCpuNetwork(spec, 20);
    std::vector<std::uint32_t> rows(20);
    std::iota(rows.begin(), rows.end(), 0U);
    for (const double clip : {0.3, 1e6}) {
      std::vector<float> sum(shard.weights.size());
      const auto seen =
          cpu->AddClippedSum(shard.weights, shard.batch(), clip, sum);
      const auto whole = RoundedStep(shard, rows, clip, 1, false);
      ExpectNear("sum", whole.gradient, sum, 4e-5);
      EXPECT_NEAR(whole.loss_sum, seen.loss_sum, 1e-5 * seen.loss_sum);
      EXPECT_EQ(whole.clipped, seen.clipped);
      const auto rounded = RoundedStep(shard, rows, clip, 1).gradient;
      ExpectNear("rounded", rounded, sum, 0.05);
      const auto by = Compare(rounded, sum);
      EXPECT_GT(by.largest, 1e-3 * by.scale);
    }
  }
}

class CudaBf16Test : public CudaTest {
 protected:
  static std::unique_ptr<DeviceStep> Step(const Case& shard, int max_batch) {
    auto step = MakeCudaStep(shard.spec, max_batch, shard.features,
                             shard.labels, {.precision = Precision::kBf16});
    step->SetWeights(shard.weights);
    return step;
  }
};

TEST_F(CudaBf16Test, EqualsTheSameByHandRoundedWhereItRounds) {
  for (const auto& spec :
       {Wide(), kWideRegression, kDeep, kWideAlone, kWideBinary}) {
    SCOPED_TRACE(Canonical(spec));
    const Case shard(spec, 500, 86);
    const auto step = Step(shard, 150);
    std::vector<float> gradient(shard.weights.size());
    for (const double clip : {0.3, 1e6})
      for (const std::size_t count : {0U, 1U, 64U, 129U, 150U, 320U}) {
        const auto rows = Rows(count, 500);
        step->Begin(rows, KeyOf(1), {.clip_norm = clip, .scale = 1.0 / 64});
        step->GetGradient(gradient);
        const auto expected = RoundedStep(shard, rows, clip, 1.0 / 64);
        ExpectNear("gradient", gradient, expected.gradient, 4e-3);
        const auto seen = step->TakeStatistics();
        EXPECT_NEAR(seen.loss_sum, expected.loss_sum,
                    1e-3 * (1 + std::abs(expected.loss_sum)));
        EXPECT_NEAR(seen.clipped, expected.clipped, 1);
        EXPECT_EQ(seen.rejected, 0);
      }
  }
}

TEST_F(CudaBf16Test, TrainsAsFloat32DoesAndAddsItsNoise) {
  const Case shard(kDeep, 300, 87);
  const auto step = Step(shard, 128);
  const auto exact = MakeCudaStep(kDeep, 128, shard.features, shard.labels);
  exact->SetWeights(shard.weights);
  std::vector<float> rounded(shard.weights.size()), weights(rounded.size());
  for (std::uint32_t i = 0; i < 20; ++i) {
    const DeviceStepTerms terms{.clip_norm = 1,
                                .noise_stddev = 0.5,
                                .scale = 0.01,
                                .learning_rate = 0.5};
    for (const auto* each : {&step, &exact})
      (*each)->Begin(Rows(20 * i, 300), KeyOf(i), terms);
  }
  step->GetWeights(rounded);
  exact->GetWeights(weights);
  double moved = 0, apart = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    moved += std::pow(weights[i] - shard.weights[i], 2);
    apart += std::pow(weights[i] - rounded[i], 2);
  }
  EXPECT_GT(moved, 0);
  EXPECT_LT(std::sqrt(apart / moved), 0.03);
}

TEST_F(CudaBf16Test, NobodyAddsMoreThanTheClip) {
  for (const auto& spec : {Wide(), kWideRegression, kDeep, kWideAlone}) {
    SCOPED_TRACE(Canonical(spec));
    for (const float scale : {1.0F, 1e3F, 1e8F, 1e20F, kInfinity, NAN}) {
      Case shard(spec, 1, 61);
      shard.features[0] = 1;
      for (float& feature : shard.features) feature *= scale;
      const auto step = Step(shard, 4);
      std::vector<float> sum(shard.weights.size());
      for (const double clip : {1e-3, 0.1, 1.0}) {
        step->Begin(Rows(1, 1), KeyOf(1), {.clip_norm = clip});
        step->GetGradient(sum);
        const double length = Norm({sum.begin(), sum.end()});
        EXPECT_LE(length, clip) << clip << " " << scale;
        const auto seen = step->TakeStatistics();
        if (seen.rejected > 0) {
          EXPECT_EQ(length, 0);
        } else if (seen.clipped > 0) {
          EXPECT_GT(length, 0.98 * clip);
        }
        if (!std::isfinite(scale)) {
          EXPECT_EQ(seen.rejected, 1);
        }
      }
    }
  }
}

TEST_F(CudaBf16Test, SpoiledRowsAddNothingAndAreForgotten) {
  for (const auto& spec : {kDeep, kWideAlone}) {
    SCOPED_TRACE(Canonical(spec));
    const Case clean(spec, 100, 88);
    Case spoiled = clean;
    const auto width = static_cast<std::size_t>(spec.inputs);
    spoiled.features[3 * width + 1] = NAN;
    spoiled.features[10 * width] = kInfinity;
    const auto step = Step(spoiled, 64);
    std::vector<std::uint32_t> rows(40), others;
    std::iota(rows.begin(), rows.end(), 0U);
    for (const auto row : rows)
      if (row != 3 && row != 10) others.push_back(row);
    std::vector<float> gradient(clean.weights.size());
    step->Begin(rows, KeyOf(3), {.clip_norm = 0.2});
    step->GetGradient(gradient);
    const auto seen = step->TakeStatistics();
    EXPECT_EQ(seen.rejected, 2);
    EXPECT_TRUE(std::isfinite(seen.loss_sum));
    const auto expected = RoundedStep(clean, others, 0.2, 1).gradient;
    ExpectNear("gradient", gradient, expected, 4e-3);
    step->Begin(others, KeyOf(4), {.clip_norm = 0.2});
    step->GetGradient(gradient);
    ExpectNear("the next", gradient, expected, 4e-3);
  }
}

// More than a block's usual shared memory has room for; and more than there is.
TEST_F(CudaBf16Test, OutputsMayBeManyButNotTooMany) {
  const ModelSpec many{
      140, {{130, Activation::kRelu}, {600}}, Loss::kSoftmaxCrossEntropy};
  const Case shard(many, 30, 89);
  const auto step = Step(shard, 20);
  std::vector<float> gradient(shard.weights.size());
  const auto rows = Rows(20, 30);
  step->Begin(rows, KeyOf(1), {.clip_norm = 0.5});
  step->GetGradient(gradient);
  ExpectNear("gradient", gradient, RoundedStep(shard, rows, 0.5, 1).gradient,
             4e-3);
  const ModelSpec more{140, {{2049}}, Loss::kSoftmaxCrossEntropy};
  try {
    Step(Case(more, 1, 90), 4);
    FAIL() << "three values of each do not fit";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("outputs"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace hearsay::model
