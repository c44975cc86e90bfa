// Frozen layers: nothing of them is in the arena, in the sum or in the norms,
// and the others' gradients are what they are with all layers there.
#include "model/frozen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

#include "tests/model/reference.h"

namespace hearsay::model {
namespace {

using Layers = std::vector<bool>;

const ModelSpec kTwoLayers{
    6,
    {{7, Activation::kTanh}, {5, Activation::kGelu}, {3}},
    Loss::kSoftmaxCrossEntropy};
// Layers without parameters before and between those that have some.
const ModelSpec kImage{2 * 5 * 5,
                       {AvgPool2d{.kernel = {2, 2}, .stride = {1, 1}},
                        Conv2d{.filters = 3, .kernel = {2, 2}},
                        Activate{Activation::kRelu},
                        Flatten{},
                        {4, Activation::kTanh},
                        {2}},
                       Loss::kSoftmaxCrossEntropy,
                       {2, 5, 5}};

struct Frost {
  ModelSpec spec;
  Layers layers;
};
const Frost kFrosts[] = {
    {kTwoLayers, {true, false, false}},
    {kTwoLayers, {false, true, false}},
    {kTwoLayers, {false, false, true}},
    {kTwoLayers, {true, true, false}},
    {kTwoLayers, {true, false, true}},
    {kImage, {false, true, false, false, false, false}},
    {kImage, {false, true, false, false, true, false}},
    {kImage, {false, false, false, false, true, false}},
};

// The part of all parameters' gradient that is trained.
Vector TrainedPart(const Frost& frost, const Vector& all) {
  Vector part;
  for (const auto& slice : ParameterSlices(frost.spec))
    if (!frost.layers[slice.layer])
      part.insert(part.end(),
                  all.begin() + static_cast<std::ptrdiff_t>(slice.offset),
                  all.begin() +
                      static_cast<std::ptrdiff_t>(slice.offset + slice.size()));
  return part;
}

TEST(FrozenTest, TheSumAndTheNormsAreThoseOfTheTrainedLayersAlone) {
  for (const Frost& frost : kFrosts) {
    const Case examples(frost.spec, 6, 31);
    const Parts parts =
        Divide(frost.spec, frost.layers, std::span(examples.weights));
    const auto network = MakeCpuNetwork(frost.spec, 6, parts.frozen);
    const std::size_t trained = TrainedCount(frost.spec, frost.layers);
    ASSERT_EQ(parts.trained.size(), trained);
    ASSERT_LT(trained, examples.weights.size());

    std::vector<Vector> gradients;
    for (int b = 0; b < 6; ++b)
      gradients.push_back(TrainedPart(frost, examples.Gradient(b)));
    std::vector<float> norms(6);
    network->GradientNorms(parts.trained, examples.batch(), norms);
    for (std::size_t b = 0; b < 6; ++b)
      EXPECT_NEAR(norms[b], Norm(gradients[b]), 1e-5 * Norm(gradients[b]));

    // Some are clipped, and some are not.
    const double clip = 1.0001 * Norm(gradients[2]);
    std::vector<float> sum(trained);
    network->AddClippedSum(parts.trained, examples.batch(), clip, sum);
    Vector expected(trained);
    for (const Vector& gradient : gradients)
      for (std::size_t p = 0; p < trained; ++p)
        expected[p] += std::min(1.0, clip / Norm(gradient)) * gradient[p];
    for (std::size_t p = 0; p < trained; ++p)
      EXPECT_NEAR(sum[p], expected[p], 1e-4) << p;
  }
}

TEST(FrozenTest, PredictionsAreThoseOfTheWholeModel) {
  for (const Frost& frost : kFrosts) {
    const Case examples(frost.spec, 3, 32);
    const Parts parts =
        Divide(frost.spec, frost.layers, std::span(examples.weights));
    const auto outputs = static_cast<std::size_t>(3 * Outputs(frost.spec));
    std::vector<float> whole(outputs), divided(outputs);
    MakeCpuNetwork(frost.spec, 3)
        ->Predict(examples.weights, 3, examples.features, whole);
    MakeCpuNetwork(frost.spec, 3, parts.frozen)
        ->Predict(parts.trained, 3, examples.features, divided);
    EXPECT_EQ(whole, divided);
  }
}

// A frozen layer does not look at its inputs, and a relu behind it could turn
// an infinite value into an ordinary one.
TEST(FrozenTest, AnExampleThatIsNotFiniteIsRejectedAllTheSame) {
  const ModelSpec spec{
      2, {{3, Activation::kRelu}, {2}}, Loss::kSoftmaxCrossEntropy};
  Case examples(spec, 2, 33);
  for (float& weight : examples.weights) weight = -1;
  examples.features = {1, 2, std::numeric_limits<float>::infinity(), 1};
  const Parts parts = Divide(spec, {true, false}, std::span(examples.weights));
  const auto network = MakeCpuNetwork(spec, 2, parts.frozen);
  std::vector<float> sum(parts.trained.size());
  const auto seen =
      network->AddClippedSum(parts.trained, examples.batch(), 1, sum);
  EXPECT_EQ(seen.rejected, 1);
  for (const float value : sum) EXPECT_TRUE(std::isfinite(value));
}

TEST(FrozenTest, SlicesSayWhereEachParameterLies) {
  const Layers layers = {false, true, false};
  const auto trained = TrainedSlices(kTwoLayers, layers);
  ASSERT_EQ(trained.size(), 4u);
  EXPECT_EQ(trained[2].name, "4.weight");
  EXPECT_EQ(trained[2].offset, 6u * 7 + 7);
  const auto frozen = FrozenSlices(kTwoLayers, layers);
  ASSERT_EQ(frozen.size(), 2u);
  EXPECT_EQ(frozen[0].name, "2.weight");
  EXPECT_EQ(frozen[0].offset, 0u);
  EXPECT_EQ(frozen[1].offset, 7u * 5);
  EXPECT_EQ(TrainedSlices(kTwoLayers, {}).size(), 6u);
  EXPECT_TRUE(FrozenSlices(kTwoLayers, {}).empty());
}

TEST(FrozenTest, RefusesWhatCannotBeFrozenNamingTheLayer) {
  const auto refused = [](const ModelSpec& spec, const Layers& layers,
                          const char* why) {
    EXPECT_THAT([&] { ValidateFrozen(spec, layers); },
                ::testing::ThrowsMessage<std::invalid_argument>(
                    ::testing::HasSubstr(why)));
  };
  refused(kImage, {true, false, false, false, false, false},
          "layer 0 (avg_pool2d): has no parameters");
  refused(kTwoLayers, {true, true, true}, "nothing is left to train");
  EXPECT_NO_THROW(ValidateFrozen(kTwoLayers, {}));
}

}  // namespace
}  // namespace hearsay::model
