// Gradients and per-example norms against central differences, for every
// activation with every loss, as one layer and as three.
#include <gtest/gtest.h>

#include "tests/model/reference.h"

namespace hearsay::model {
namespace {

struct Combination {
  Activation activation;
  Loss loss;
  int layers;
};

// The activation stands behind every layer in turn; also behind the last, which
// is unusual and must still be right.
ModelSpec SpecOf(const Combination& combination) {
  const int outputs = combination.loss == Loss::kBinaryCrossEntropy ? 1 : 3;
  ModelSpec spec{.inputs = 5, .layers = {}, .loss = combination.loss};
  if (combination.layers == 3) {
    spec.layers = {{7, combination.activation}, {4, combination.activation}};
  }
  spec.layers.push_back({outputs, combination.activation});
  return spec;
}

class GradientTest : public ::testing::TestWithParam<Combination> {};

TEST_P(GradientTest, SumIsTheSumOfFiniteDifferences) {
  const Case examples(SpecOf(GetParam()), 6, 11);
  const auto network = MakeCpuNetwork(examples.spec, 6);
  std::vector<float> sum(examples.weights.size(), 0.25f);
  const double loss = network->AddSum(examples.weights, examples.batch(), sum);

  Vector expected(sum.size(), 0.25);  // the sum is added to, not overwritten
  double expected_loss = 0;
  for (int b = 0; b < 6; ++b) {
    const Vector gradient = examples.Gradient(b);
    for (std::size_t p = 0; p < sum.size(); ++p) expected[p] += gradient[p];
    expected_loss += examples.Loss(b);
  }
  // float32: a few ulp of numbers around 1, summed over layers and examples.
  for (std::size_t p = 0; p < sum.size(); ++p)
    EXPECT_NEAR(sum[p], expected[p], 4e-6 * (1 + std::abs(expected[p]))) << p;
  EXPECT_NEAR(loss, expected_loss, 1e-5);
}

TEST_P(GradientTest, NormsAreThoseOfEachExamplesOwnGradient) {
  const Case examples(SpecOf(GetParam()), 9, 12);
  const auto network = MakeCpuNetwork(examples.spec, 9);
  std::vector<float> norms(9);
  network->GradientNorms(examples.weights, examples.batch(), norms);
  for (int b = 0; b < 9; ++b) {
    const double expected = Norm(examples.Gradient(b));
    EXPECT_NEAR(norms[static_cast<std::size_t>(b)], expected,
                3e-6 * (1 + expected))
        << b;
  }
}

TEST_P(GradientTest, PredictionsAreTheReferences) {
  const Case examples(SpecOf(GetParam()), 5, 13);
  const auto network = MakeCpuNetwork(examples.spec, 8);
  const auto outputs = static_cast<std::size_t>(Outputs(examples.spec));
  std::vector<float> predicted(5 * outputs);
  network->Predict(examples.weights, 5, examples.features, predicted);
  for (int b = 0; b < 5; ++b) {
    const Vector expected = ReferenceOutputs(examples.spec, examples.Weights(),
                                             examples.Features(b));
    for (std::size_t o = 0; o < outputs; ++o)
      EXPECT_NEAR(predicted[static_cast<std::size_t>(b) * outputs + o],
                  expected[o], 2e-6 * (1 + std::abs(expected[o])));
  }
}

std::vector<Combination> Combinations() {
  std::vector<Combination> all;
  for (const Activation activation :
       {Activation::kNone, Activation::kRelu, Activation::kTanh,
        Activation::kGelu, Activation::kSigmoid})
    for (const Loss loss :
         {Loss::kSoftmaxCrossEntropy, Loss::kBinaryCrossEntropy, Loss::kMse})
      for (const int layers : {1, 3}) all.push_back({activation, loss, layers});
  return all;
}

INSTANTIATE_TEST_SUITE_P(
    Every, GradientTest, ::testing::ValuesIn(Combinations()),
    [](const ::testing::TestParamInfo<Combination>& tested) {
      return Word(tested.param.activation) + "_" + Word(tested.param.loss) +
             "_" + std::to_string(tested.param.layers);
    });

// Widths on both sides of every vector length, and batches that end in the
// middle of one: the loops' remainders are code of their own.
TEST(GradientShapesTest, NoWidthOrBatchIsSpecial) {
  for (const int width : {1, 2, 3, 8, 15, 16, 17, 33})
    for (const int count : {1, 2, 15, 16, 17, 31}) {
      const Case examples({width,
                           {{width, Activation::kGelu}, {2}},
                           Loss::kSoftmaxCrossEntropy},
                          count, 14);
      const auto network = MakeCpuNetwork(examples.spec, 32);
      std::vector<float> sum(examples.weights.size());
      network->AddSum(examples.weights, examples.batch(), sum);
      // One example at a time is another path through every loop.
      Vector expected(sum.size());
      for (int b = 0; b < count; ++b) {
        std::vector<float> one(sum.size());
        network->AddSum(examples.weights, examples.Rows(b, 1), one);
        for (std::size_t p = 0; p < one.size(); ++p) expected[p] += one[p];
      }
      for (std::size_t p = 0; p < sum.size(); ++p)
        ASSERT_NEAR(sum[p], expected[p], 1e-5)
            << "width " << width << ", batch " << count << ", at " << p;
    }
}

}  // namespace
}  // namespace hearsay::model
