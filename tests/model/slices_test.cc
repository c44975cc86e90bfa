// A network takes a batch in slices: what comes of it is what comes of each
// example alone.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/model/models.h"
#include "tests/model/reference.h"

namespace hearsay::model {
namespace {

// 50 examples of an image so large that they are taken in several slices.
TEST(SlicesTest, EachExampleIsTakenOnce) {
  const Case examples(
      Images({2, 60, 60}, {Conv2d{.filters = 8, .kernel = {5, 5}},
                           Activate{Activation::kTanh},
                           MaxPool2d{.kernel = {4, 4}, .stride = {4, 4}},
                           Flatten{},
                           {3}}),
      50, 15);
  Case spoiled = examples;
  constexpr std::size_t kSpoiled = 33;
  const auto width = static_cast<std::size_t>(examples.spec.inputs);
  spoiled.features[kSpoiled * width] = std::numeric_limits<float>::quiet_NaN();
  const auto all = MakeCpuNetwork(examples.spec, 50);
  const auto one = MakeCpuNetwork(examples.spec, 1);
  const double clip_norm = 3;
  const std::size_t parameters = examples.weights.size();

  std::vector<float> sum(parameters), expected(parameters), norms(50), norm(1);
  std::vector<float> outputs(150), output(3);
  const auto seen =
      all->AddClippedSum(spoiled.weights, spoiled.batch(), clip_norm, sum);
  all->GradientNorms(examples.weights, examples.batch(), norms);
  all->Predict(examples.weights, 50, examples.features, outputs);
  ClippedSumStatistics counted;
  Evaluation evaluated;
  for (int b = 0; b < 50; ++b) {
    const auto at = static_cast<std::size_t>(b);
    const auto of = one->AddClippedSum(spoiled.weights, spoiled.Rows(b, 1),
                                       clip_norm, expected);
    counted.loss_sum += of.loss_sum;
    counted.clipped += of.clipped;
    counted.rejected += of.rejected;
    one->GradientNorms(examples.weights, examples.Rows(b, 1), norm);
    EXPECT_NEAR(norms[at] / norm[0], 1, 1e-6) << b;
    one->Predict(examples.weights, 1, examples.Rows(b, 1).features, output);
    for (std::size_t o = 0; o < 3; ++o)
      EXPECT_NEAR(outputs[at * 3 + o], output[o], 1e-5) << b;
    const auto e = one->Evaluate(examples.weights, examples.Rows(b, 1));
    evaluated.loss_sum += e.loss_sum;
    evaluated.correct += e.correct;
  }
  EXPECT_EQ(seen.rejected, 1);
  EXPECT_EQ(counted.rejected, 1);
  EXPECT_GT(seen.clipped, 0);
  EXPECT_EQ(seen.clipped, counted.clipped);
  EXPECT_NEAR(seen.loss_sum, counted.loss_sum, 1e-4);
  for (std::size_t p = 0; p < parameters; ++p)
    ASSERT_NEAR(sum[p], expected[p], 1e-4 * (1 + std::abs(expected[p]))) << p;
  const auto e = all->Evaluate(examples.weights, examples.batch());
  EXPECT_EQ(e.count, 50);
  EXPECT_EQ(e.correct, evaluated.correct);
  EXPECT_NEAR(e.loss_sum, evaluated.loss_sum, 1e-4);

  std::vector<float> plain(parameters), loop(parameters);
  const double loss = all->AddSum(examples.weights, examples.batch(), plain);
  double loop_loss = 0;
  for (int b = 0; b < 50; ++b)
    loop_loss += one->AddSum(examples.weights, examples.Rows(b, 1), loop);
  EXPECT_NEAR(loss, loop_loss, 1e-4);
  for (std::size_t p = 0; p < parameters; ++p)
    ASSERT_NEAR(plain[p], loop[p], 1e-4 * (1 + std::abs(loop[p]))) << p;
}

// Masks go by an example's number in the step, whatever slice it is in.
TEST(SlicesTest, MasksGoOnFromOneToTheNext) {
  const Case examples(
      Images({2, 60, 60}, {Conv2d{.filters = 8, .kernel = {5, 5}},
                           MaxPool2d{.kernel = {4, 4}, .stride = {4, 4}},
                           Flatten{},
                           Dropout{.rate = 0.5},
                           {3}}),
      40, 16);
  const auto all = MakeCpuNetwork(examples.spec, 40);
  const auto one = MakeCpuNetwork(examples.spec, 1);
  const StepKey key = {1, 2, 3};
  std::vector<float> sum(examples.weights.size()), loop(sum.size());
  all->BeginStep(key);
  all->AddSum(examples.weights, examples.batch(), sum);
  one->BeginStep(key);
  for (int b = 0; b < 40; ++b)
    one->AddSum(examples.weights, examples.Rows(b, 1), loop);
  for (std::size_t p = 0; p < sum.size(); ++p)
    ASSERT_NEAR(sum[p], loop[p], 1e-4 * (1 + std::abs(loop[p]))) << p;
}

}  // namespace
}  // namespace hearsay::model
