// The clipped sum against a per-example loop in double, and the bound that the
// privacy claim rests on: no example can move the sum by more than clip_norm.
#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "tests/model/reference.h"

namespace hearsay::model {
namespace {

const ModelSpec kThreeLayers{
    6,
    {{9, Activation::kTanh}, {5, Activation::kGelu}, {3}},
    Loss::kSoftmaxCrossEntropy};
const ModelSpec kOneLayer{6, {{3}}, Loss::kSoftmaxCrossEntropy};
const ModelSpec kRegression{4, {{8, Activation::kRelu}, {2}}, Loss::kMse};
const ModelSpec kBinary{
    4, {{8, Activation::kRelu}, {1}}, Loss::kBinaryCrossEntropy};

constexpr float kFloatInfinity = std::numeric_limits<float>::infinity();
constexpr float kFloatNaN = std::numeric_limits<float>::quiet_NaN();

struct ClippedSum {
  std::vector<float> sum;
  ClippedSumStatistics statistics;
};

ClippedSum Compute(Network& network, const Case& examples, const Batch& batch,
                   double clip_norm) {
  ClippedSum result{std::vector<float>(examples.weights.size()), {}};
  result.statistics =
      network.AddClippedSum(examples.weights, batch, clip_norm, result.sum);
  return result;
}

double Length(const std::vector<float>& values) {
  return Norm({values.begin(), values.end()});
}

void ExpectEqualsLoop(const Case& examples, double clip_norm,
                      int expected_clipped) {
  const auto network = MakeCpuNetwork(examples.spec, examples.count);
  const ClippedSum got =
      Compute(*network, examples, examples.batch(), clip_norm);

  Vector expected(examples.weights.size());
  Vector magnitude(examples.weights.size());
  double loss = 0;
  int clipped = 0;
  for (int b = 0; b < examples.count; ++b) {
    const Vector gradient = examples.Gradient(b);
    const double norm = Norm(gradient);
    clipped += norm > clip_norm ? 1 : 0;
    const double factor = std::min(1.0, clip_norm / norm);
    for (std::size_t p = 0; p < expected.size(); ++p) {
      expected[p] += factor * gradient[p];
      magnitude[p] += factor * std::abs(gradient[p]);
    }
    loss += examples.Loss(b);
  }
  ASSERT_EQ(clipped, expected_clipped) << "the case is not what it should be";
  EXPECT_EQ(got.statistics.clipped, clipped);
  EXPECT_EQ(got.statistics.rejected, 0);
  EXPECT_NEAR(got.statistics.loss_sum, loss, 1e-5 * examples.count);
  // The margin takes 2^-16 = 1.5e-5 off every clipped gradient.
  const double scale = std::min(1.0, clip_norm);
  for (std::size_t p = 0; p < expected.size(); ++p)
    EXPECT_NEAR(got.sum[p], expected[p], 2e-5 * magnitude[p] + 4e-6 * scale)
        << p;
}

TEST(ClippedSumTest, EqualsTheLoopWithEveryExampleClipped) {
  for (const ModelSpec& spec : {kThreeLayers, kOneLayer, kRegression, kBinary})
    ExpectEqualsLoop(Case(spec, 40, 21), 1e-3, 40);
}

TEST(ClippedSumTest, EqualsTheLoopWithNoExampleClipped) {
  for (const ModelSpec& spec : {kThreeLayers, kOneLayer, kRegression, kBinary})
    ExpectEqualsLoop(Case(spec, 40, 22), 1e6, 0);
}

TEST(ClippedSumTest, EqualsTheLoopWithSomeExamplesClipped) {
  for (const ModelSpec& spec :
       {kThreeLayers, kOneLayer, kRegression, kBinary}) {
    const Case examples(spec, 41, 23);
    std::vector<double> norms;
    for (int b = 0; b < examples.count; ++b)
      norms.push_back(Norm(examples.Gradient(b)));
    std::sort(norms.begin(), norms.end());
    ExpectEqualsLoop(examples, 0.5 * (norms[19] + norms[20]), 21);
  }
}

TEST(ClippedSumTest, WithoutClippingEqualsThePlainSum) {
  const Case examples(kThreeLayers, 30, 24);
  const auto network = MakeCpuNetwork(examples.spec, 30);
  std::vector<float> plain(examples.weights.size());
  const double loss =
      network->AddSum(examples.weights, examples.batch(), plain);
  const ClippedSum private_sum =
      Compute(*network, examples, examples.batch(), 1e9);
  EXPECT_EQ(private_sum.sum, plain);
  EXPECT_DOUBLE_EQ(private_sum.statistics.loss_sum, loss);
}

TEST(ClippedSumTest, AddsToWhatIsThere) {
  const Case examples(kThreeLayers, 8, 25);
  const auto network = MakeCpuNetwork(examples.spec, 8);
  const ClippedSum once = Compute(*network, examples, examples.batch(), 0.5);
  std::vector<float> sum(once.sum.size(), 1.0f);
  network->AddClippedSum(examples.weights, examples.batch(), 0.5, sum);
  for (std::size_t p = 0; p < sum.size(); ++p)
    EXPECT_NEAR(sum[p], 1 + once.sum[p], 2e-6);
}

// The bound itself, without tolerance: over ordinary and wild magnitudes of
// weights, features, labels and clip norm, one example never adds a vector
// longer than clip_norm, not even by one rounding.
TEST(ClippedSumTest, OneExampleNeverAddsMoreThanTheClipNorm) {
  std::mt19937 engine(26);
  std::uniform_real_distribution<double> exponent(-12, 12);
  int clipped = 0;
  int rejected = 0;
  for (unsigned i = 0; i < 4000; ++i) {
    const ModelSpec& spec = i % 2 == 0 ? kThreeLayers : kRegression;
    Case examples(spec, 1, 1000 + i);
    const auto feature_scale =
        static_cast<float>(std::pow(10.0, exponent(engine)));
    const auto weight_scale =
        static_cast<float>(std::pow(10.0, 0.5 * exponent(engine)));
    for (float& feature : examples.features) feature *= feature_scale;
    for (float& weight : examples.weights) weight *= weight_scale;
    const double clip_norm = std::pow(10.0, 0.5 * exponent(engine));
    const auto network = MakeCpuNetwork(spec, 1);
    const ClippedSum got =
        Compute(*network, examples, examples.batch(), clip_norm);
    ASSERT_LE(Length(got.sum), clip_norm) << "case " << i;
    clipped += got.statistics.clipped;
    rejected += got.statistics.rejected;
    if (got.statistics.clipped == 1) {
      ASSERT_GT(Length(got.sum), 0.9999 * clip_norm) << "case " << i;
    }
  }
  EXPECT_GT(clipped, 1000);
  EXPECT_LT(rejected, 400);
}

// Just above and just below the clip norm the margin must already hold.
TEST(ClippedSumTest, HoldsTheBoundForNormsAtTheBound) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    const Case examples(kThreeLayers, 1, seed);
    const auto network = MakeCpuNetwork(examples.spec, 1);
    std::vector<float> norm(1);
    network->GradientNorms(examples.weights, examples.batch(), norm);
    for (const double near : {1 - 1e-6, 1 - 1e-8, 1.0, 1 + 1e-8, 1 + 1e-6}) {
      const double clip_norm = near * norm[0];
      ASSERT_LE(
          Length(Compute(*network, examples, examples.batch(), clip_norm).sum),
          clip_norm);
    }
  }
}

TEST(ClippedSumTest, LeavingOneExampleOutMovesTheSumByAtMostTheClipNorm) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    const Case examples(seed % 2 == 0 ? kThreeLayers : kRegression, 24, seed);
    const double clip_norm = seed % 3 == 0 ? 0.05 : 1.0;
    const auto network = MakeCpuNetwork(examples.spec, 24);
    const auto whole = Compute(*network, examples, examples.batch(), clip_norm);
    for (int left_out = 0; left_out < 24; ++left_out) {
      std::vector<float> rest(whole.sum.size());
      network->AddClippedSum(examples.weights, examples.Rows(0, left_out),
                             clip_norm, rest);
      network->AddClippedSum(examples.weights,
                             examples.Rows(left_out + 1, 23 - left_out),
                             clip_norm, rest);
      Vector difference(rest.size());
      for (std::size_t p = 0; p < rest.size(); ++p)
        difference[p] = static_cast<double>(whole.sum[p]) - rest[p];
      // The two sums are rounded along different ways: 24 additions each.
      ASSERT_LE(Norm(difference), clip_norm + 48 * 0x1p-24 * Length(whole.sum));
    }
  }
}

TEST(ClippedSumTest, AnEmptyBatchAddsNothing) {
  for (const ModelSpec& spec : {kThreeLayers, kOneLayer}) {
    const Case examples(spec, 0, 27);
    const auto network = MakeCpuNetwork(spec, 4);
    const ClippedSum got = Compute(*network, examples, examples.batch(), 1.0);
    EXPECT_EQ(got.sum, std::vector<float>(examples.weights.size()));
    EXPECT_EQ(got.statistics.loss_sum, 0);
    EXPECT_EQ(got.statistics.clipped + got.statistics.rejected, 0);
    std::vector<float> sum(examples.weights.size());
    EXPECT_EQ(network->AddSum(examples.weights, examples.batch(), sum), 0);
    network->GradientNorms(examples.weights, examples.batch(), {});
    network->Predict(examples.weights, 0, {}, {});
    EXPECT_EQ(network->Evaluate(examples.weights, examples.batch()).count, 0);
  }
}

TEST(ClippedSumTest, PhysicalBatchesDoNotChangeTheSum) {
  const Case examples(kThreeLayers, 50, 28);
  const auto large = MakeCpuNetwork(examples.spec, 50);
  const auto small = MakeCpuNetwork(examples.spec, 7);
  const ClippedSum whole = Compute(*large, examples, examples.batch(), 0.3);
  std::vector<float> parts(whole.sum.size());
  ClippedSumStatistics total;
  for (int first = 0; first < 50; first += 7) {
    const auto statistics = small->AddClippedSum(
        examples.weights, examples.Rows(first, std::min(7, 50 - first)), 0.3,
        parts);
    total.clipped += statistics.clipped;
    total.loss_sum += statistics.loss_sum;
  }
  EXPECT_EQ(total.clipped, whole.statistics.clipped);
  EXPECT_NEAR(total.loss_sum, whole.statistics.loss_sum, 1e-4);
  for (std::size_t p = 0; p < parts.size(); ++p)
    EXPECT_NEAR(parts[p], whole.sum[p], 1e-5);
}

// What makes an example unusable, written into row `row` of a clean case.
struct Poison {
  const char* name;
  const ModelSpec* spec;
  float feature;
  float label;  // MSE only
};

class RejectionTest : public ::testing::TestWithParam<Poison> {
 protected:
  void Spoil(Case& examples, int row) const {
    const auto at = static_cast<std::size_t>(row);
    if (GetParam().feature != 0)
      examples
          .features[at * static_cast<std::size_t>(examples.spec.inputs) + 1] =
          GetParam().feature;
    if (GetParam().label != 0) examples.labels[at * 2] = GetParam().label;
  }
};

TEST_P(RejectionTest, SpoiledExamplesAddNothingAndTheOthersStay) {
  const Case clean(*GetParam().spec, 20, 31);
  Case spoiled = clean;
  for (const int row : {0, 7, 19}) Spoil(spoiled, row);
  const auto network = MakeCpuNetwork(clean.spec, 20);
  const ClippedSum got = Compute(*network, spoiled, spoiled.batch(), 0.7);
  EXPECT_EQ(got.statistics.rejected, 3);

  // The others alone, in the two runs between the spoiled rows.
  std::vector<float> others(got.sum.size());
  const auto first =
      network->AddClippedSum(clean.weights, clean.Rows(1, 6), 0.7, others);
  const auto second =
      network->AddClippedSum(clean.weights, clean.Rows(8, 11), 0.7, others);
  EXPECT_EQ(got.statistics.clipped, first.clipped + second.clipped);
  EXPECT_NEAR(got.statistics.loss_sum, first.loss_sum + second.loss_sum, 1e-4);
  for (std::size_t p = 0; p < others.size(); ++p)
    EXPECT_NEAR(got.sum[p], others[p], 3e-6) << p;
}

TEST_P(RejectionTest, ABatchOfOnlySpoiledExamplesLeavesTheSumUntouched) {
  Case spoiled(*GetParam().spec, 5, 32);
  for (int row = 0; row < 5; ++row) Spoil(spoiled, row);
  const auto network = MakeCpuNetwork(spoiled.spec, 5);
  std::vector<float> sum(spoiled.weights.size());
  for (std::size_t p = 0; p < sum.size(); ++p)
    sum[p] = static_cast<float>(p) * 0.1f;
  const std::vector<float> before = sum;
  const auto statistics =
      network->AddClippedSum(spoiled.weights, spoiled.batch(), 1.0, sum);
  EXPECT_EQ(sum, before);
  EXPECT_EQ(statistics.rejected, 5);
  EXPECT_EQ(statistics.clipped, 0);
  EXPECT_EQ(statistics.loss_sum, 0);
  std::vector<float> norms(5);
  network->GradientNorms(spoiled.weights, spoiled.batch(), norms);
  EXPECT_EQ(norms, std::vector<float>(5, kFloatInfinity));
}

TEST_P(RejectionTest, NothingOfThemStaysBehindInTheScratch) {
  const Case clean(*GetParam().spec, 6, 33);
  Case spoiled = clean;
  for (int row = 0; row < 6; ++row) Spoil(spoiled, row);
  const auto used = MakeCpuNetwork(clean.spec, 6);
  Compute(*used, spoiled, spoiled.batch(), 1.0);
  const auto fresh = MakeCpuNetwork(clean.spec, 6);
  EXPECT_EQ(Compute(*used, clean, clean.batch(), 1.0).sum,
            Compute(*fresh, clean, clean.batch(), 1.0).sum);
}

INSTANTIATE_TEST_SUITE_P(
    Every, RejectionTest,
    ::testing::Values(
        Poison{"InfiniteFeature", &kThreeLayers, kFloatInfinity, 0},
        Poison{"MinusInfiniteFeature", &kThreeLayers, -kFloatInfinity, 0},
        Poison{"NanFeature", &kThreeLayers, kFloatNaN, 0},
        Poison{"HugeFeature", &kThreeLayers, 1e30f, 0},
        Poison{"NanFeatureOneLayer", &kOneLayer, kFloatNaN, 0},
        Poison{"InfiniteFeatureBehindRelu", &kBinary, kFloatInfinity, 0},
        Poison{"NanFeatureBehindRelu", &kBinary, kFloatNaN, 0},
        Poison{"InfiniteFeatureRegression", &kRegression, -kFloatInfinity, 0},
        Poison{"NanTarget", &kRegression, 0, kFloatNaN},
        Poison{"InfiniteTarget", &kRegression, 0, kFloatInfinity},
        Poison{"HugeTarget", &kRegression, 0, 1e30f}),
    [](const auto& tested) { return tested.param.name; });

TEST(ClippedSumTest, WeightsThatAreNotFiniteRejectEveryExample) {
  for (const ModelSpec& spec : {kThreeLayers, kOneLayer, kBinary}) {
    Case examples(spec, 10, 34);
    examples.weights[0] = kFloatNaN;
    const auto network = MakeCpuNetwork(spec, 10);
    const ClippedSum got = Compute(*network, examples, examples.batch(), 1.0);
    EXPECT_EQ(got.statistics.rejected, 10);
    EXPECT_EQ(got.sum, std::vector<float>(examples.weights.size()));
  }
}

// The output overflows, yet inputs and gradient (a sigmoid, 1) are ordinary.
TEST(ClippedSumTest, ALossThatIsNotFiniteRejectsByItself) {
  const auto network = MakeCpuNetwork({2, {{1}}, Loss::kBinaryCrossEntropy}, 2);
  const std::vector<float> weights = {3e38f, 3e38f, 0};
  const std::vector<float> features = {2, 2, 1e-38f, 0};
  const std::vector<float> labels = {0, 0};
  std::vector<float> sum(3);
  const auto statistics =
      network->AddClippedSum(weights, {2, features, labels}, 10, sum);
  EXPECT_EQ(statistics.rejected, 1);
  EXPECT_NEAR(statistics.loss_sum, std::log1p(std::exp(3.0)), 1e-5);
  EXPECT_NEAR(sum[2], 1 / (1 + std::exp(-3.0)), 1e-6);
}

// Debian's serial OpenBLAS fails this in one run of three.
TEST(ClippedSumTest, TwoThreadsWithANetworkEachDoNotDisturbEachOther) {
  const ModelSpec spec{
      64, {{64, Activation::kRelu}, {2}}, Loss::kSoftmaxCrossEntropy};
  const Case examples(spec, 512, 35);
  const auto compute = [&] {
    const auto network = MakeCpuNetwork(spec, 512);
    std::vector<float> sum(examples.weights.size());
    for (int i = 0; i < 300; ++i)
      network->AddClippedSum(examples.weights, examples.batch(), 1.0, sum);
    return sum;
  };
  const std::vector<float> alone = compute();
  std::vector<float> first;
  std::vector<float> second;
  {
    const std::jthread one([&] { first = compute(); });
    const std::jthread two([&] { second = compute(); });
  }
  EXPECT_EQ(first, alone);
  EXPECT_EQ(second, alone);
}

}  // namespace
}  // namespace hearsay::model
