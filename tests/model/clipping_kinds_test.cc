// Automatic clipping and clipping by layer: against a loop over single
// gradients in double, and the bound that holds in every kind.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "tests/model/reference.h"

namespace hearsay::model {
namespace {

using Kind = Clipping::Kind;

const ModelSpec kDense{6,
                       {{9, Activation::kTanh}, {5, Activation::kGelu}, {3}},
                       Loss::kSoftmaxCrossEntropy};
const ModelSpec kImages{50,
                        {Conv2d{.filters = 3, .kernel = {3, 3}},
                         Activate{Activation::kTanh},
                         Conv2d{.filters = 4, .kernel = {2, 2}},
                         Flatten{},
                         {2}},
                        Loss::kSoftmaxCrossEntropy,
                        {2, 5, 5}};

// [first, end) of the parameters of each layer that has any.
std::vector<std::pair<std::size_t, std::size_t>> LayersOf(
    const ModelSpec& spec) {
  std::map<std::string, std::pair<std::size_t, std::size_t>> layers;
  for (const auto& slice : ParameterSlices(spec)) {
    const auto layer = slice.name.substr(0, slice.name.rfind('.'));
    const auto [found, first] =
        layers.try_emplace(layer, slice.offset, slice.offset + slice.size());
    if (first) continue;
    found->second.first = std::min(found->second.first, slice.offset);
    found->second.second =
        std::max(found->second.second, slice.offset + slice.size());
  }
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  for (const auto& [name, range] : layers) ranges.push_back(range);
  return ranges;
}

double LengthOf(const Vector& values, std::size_t first, std::size_t end) {
  double sum = 0;
  for (std::size_t i = first; i < end; ++i) sum += values[i] * values[i];
  return std::sqrt(sum);
}

// One example's own gradient, unclipped.
Vector Single(Network& network, const Case& examples, int b) {
  std::vector<float> gradient(examples.weights.size());
  network.AddSum(examples.weights, examples.Rows(b, 1), gradient);
  return {gradient.begin(), gradient.end()};
}

struct Expected {
  Vector sum;
  int clipped = 0;
};

Expected Loop(Network& network, const Case& examples,
              const Clipping& clipping) {
  Expected expected{Vector(examples.weights.size()), 0};
  const auto layers = LayersOf(examples.spec);
  for (int b = 0; b < examples.count; ++b) {
    const Vector gradient = Single(network, examples, b);
    if (clipping.kind == Kind::kPerLayer) {
      const double share =
          clipping.norm / std::sqrt(static_cast<double>(layers.size()));
      bool clipped = false;
      for (const auto& [first, end] : layers) {
        const double norm = LengthOf(gradient, first, end);
        clipped = clipped || norm > share;
        for (std::size_t p = first; p < end; ++p)
          expected.sum[p] += gradient[p] * std::min(1.0, share / norm);
      }
      expected.clipped += clipped;
      continue;
    }
    const double norm = LengthOf(gradient, 0, gradient.size());
    expected.clipped += norm > clipping.norm;
    for (std::size_t p = 0; p < gradient.size(); ++p)
      expected.sum[p] += gradient[p] * clipping.norm / (norm + 0.01);
  }
  return expected;
}

class ClippingKindsTest : public testing::TestWithParam<Kind> {};

TEST_P(ClippingKindsTest, IsALoopOverSingleGradients) {
  for (const ModelSpec& spec : {kDense, kImages})
    for (const double norm : {0.05, 0.6, 50.0}) {
      const Case examples(spec, 17, 5);
      const auto network = MakeCpuNetwork(spec, 17);
      const Clipping clipping{norm, GetParam()};
      const auto expected = Loop(*network, examples, clipping);
      std::vector<float> sum(examples.weights.size());
      const auto seen = network->AddClippedSum(examples.weights,
                                               examples.batch(), clipping, sum);
      EXPECT_EQ(seen.clipped, expected.clipped);
      for (std::size_t p = 0; p < sum.size(); ++p)
        EXPECT_NEAR(sum[p], expected.sum[p], 17 * norm * 3e-5) << p;
    }
}

TEST_P(ClippingKindsTest, NoExampleAddsMoreThanTheNorm) {
  for (const ModelSpec& spec : {kDense, kImages})
    for (const float times : {1e-4F, 1.0F, 300.0F}) {
      Case examples(spec, 30, 8);
      for (float& feature : examples.features) feature *= times;
      const auto network = MakeCpuNetwork(spec, 30);
      for (int b = 0; b < examples.count; ++b) {
        std::vector<float> sum(examples.weights.size());
        network->AddClippedSum(examples.weights, examples.Rows(b, 1),
                               Clipping{0.37, GetParam()}, sum);
        EXPECT_LE(Norm({sum.begin(), sum.end()}), 0.37);
      }
    }
}

TEST_P(ClippingKindsTest, AnExampleThatIsRejectedAddsNothingToAnyLayer) {
  for (const ModelSpec& spec : {kDense, kImages}) {
    const Case clean(spec, 9, 3);
    Case spoiled = clean;
    spoiled.features[4 * static_cast<std::size_t>(spec.inputs) + 1] =
        std::numeric_limits<float>::infinity();
    const auto network = MakeCpuNetwork(spec, 9);
    const Clipping clipping{0.5, GetParam()};
    std::vector<float> got(clean.weights.size()), others(got.size());
    const auto seen =
        network->AddClippedSum(clean.weights, spoiled.batch(), clipping, got);
    EXPECT_EQ(seen.rejected, 1);
    network->AddClippedSum(clean.weights, clean.Rows(0, 4), clipping, others);
    network->AddClippedSum(clean.weights, clean.Rows(5, 4), clipping, others);
    for (std::size_t p = 0; p < got.size(); ++p)
      EXPECT_NEAR(got[p], others[p], 3e-6) << p;
  }
}

// What tells them apart from flat clipping.
TEST(PerLayerTest, ALayerIsNotClippedForTheLengthOfAnother) {
  const Case examples(kDense, 1, 2);
  const auto network = MakeCpuNetwork(kDense, 1);
  const Vector gradient = Single(*network, examples, 0);
  const auto layers = LayersOf(kDense);
  ASSERT_EQ(layers.size(), 3U);
  const auto length = [&](const auto& values, std::size_t l) {
    return LengthOf({values.begin(), values.end()}, layers[l].first,
                    layers[l].second);
  };
  // A share between the shortest layer and the longest.
  double least = length(gradient, 0), most = least;
  for (std::size_t l = 1; l < 3; ++l) {
    least = std::min(least, length(gradient, l));
    most = std::max(most, length(gradient, l));
  }
  const double share = std::sqrt(least * most);
  std::vector<float> sum(examples.weights.size());
  network->AddClippedSum(examples.weights, examples.batch(),
                         Clipping{share * std::sqrt(3.0), Kind::kPerLayer},
                         sum);
  for (std::size_t l = 0; l < 3; ++l)
    EXPECT_NEAR(length(sum, l), std::min(share, length(gradient, l)),
                1e-4 * share);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ClippingKindsTest,
                         testing::Values(Kind::kAutomatic, Kind::kPerLayer));

}  // namespace
}  // namespace hearsay::model
