// Exact steps on a GPU against dp's sums on a grid, bit for bit: of models and
// examples that add up without rounding, so that CPU and GPU have to agree; and
// of ordinary ones, what is promised of one example whatever rounding does.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <stdexcept>
#include <vector>

#include "tests/model/cuda_exact_fixture.h"
#include "tests/model/cuda_models.h"

namespace hearsay::model {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

const ModelSpec kOneExact = {33, {{2}}, Loss::kMse};
const ModelSpec kDeepExact = {
    6, {{16, Activation::kRelu}, {8, Activation::kRelu}, {4}}, Loss::kMse};
// Wider than a tile everywhere, and odd.
const ModelSpec kWideExact = {
    70, {{45, Activation::kRelu}, {40, Activation::kRelu}, {4}}, Loss::kMse};

const ModelSpec kLarge = {
    784, {{128, Activation::kRelu}, {10}}, Loss::kSoftmaxCrossEntropy};

// Features, labels and weights are multiples of 1 and 1/2, and at most four
// weights of a unit are none of 0.
Case Dyadic(const ModelSpec& spec, int count, unsigned seed) {
  Case made(spec, count, seed);
  std::mt19937 engine(seed);
  const auto of = [&](int least, int most) {
    return static_cast<float>(
        std::uniform_int_distribution(least, most)(engine));
  };
  for (float& feature : made.features) feature = of(-2, 2);
  for (float& label : made.labels) label = of(-3, 3);
  std::fill(made.weights.begin(), made.weights.end(), 0.0F);
  std::size_t next = 0;
  int inputs = spec.inputs;
  for (const Layer& layer : spec.layers) {
    const int units = layer.dense().units;
    for (int o = 0; o < units; ++o, next += static_cast<std::size_t>(inputs))
      for (int j = 0; j < 4; ++j)
        made.weights[next +
                     static_cast<std::size_t>((5 * o + 7 * j) % inputs)] =
            of(0, 1) == 0 ? 0.5F * of(1, 2) : -0.5F * of(1, 2);
    for (int o = 0; o < units; ++o) made.weights[next++] = 0.5F * of(-2, 2);
    inputs = units;
  }
  return made;
}

// What the comparison bit for bit rests upon: the gradient of such an example
// is one of integers times 1/64, whose squares a double adds up exactly, and
// which is that of arithmetic with 29 bits more.
TEST(DyadicCaseTest, AddsUpWithoutRounding) {
  for (const auto& spec : {kOneExact, kDeepExact, kWideExact}) {
    const Case shard = Dyadic(spec, 40, 5);
    const auto cpu = MakeCpuNetwork(spec, 1);
    int moved = 0;
    for (int row = 0; row < shard.count; ++row) {
      double squares = 0;
      for (const float value : GradientOf(*cpu, shard, row)) {
        const double units = 64.0 * value;
        ASSERT_EQ(units, std::trunc(units));
        squares += units * units;
        moved += value != 0 ? 1 : 0;
      }
      EXPECT_LT(squares, 0x1p53);
    }
    EXPECT_GT(moved, shard.count * 10);
  }
}

TEST_F(CudaExactTest, NoiseIsThatOfTheHostBitForBit) {
  const Case shard({100, {{600, Activation::kRelu}, {10}}, Loss::kMse}, 2, 1);
  const auto step = MakeStep(shard, 8);
  std::uint32_t seed = 50;
  for (const int log_sigma : {0, 1, 7, 20, 30}) {
    const NoiseKey key = KeyOf(seed++);
    const dp::GridTerms grid{
        .clip_norm = kClip, .log_sigma = log_sigma, .reach = 1 << 20};
    const auto gradient = Gradient(*step, shard.weights.size(), {}, key,
                                   Terms(grid, (1 << 20) / kClip));
    for (std::size_t i = 0; i < gradient.size(); ++i)
      ASSERT_EQ(gradient[i], static_cast<float>(cuda::DiscreteGaussianOf(
                                 Words(key), i, log_sigma)))
          << log_sigma << " " << i;
  }
}

// None, one, some, all that fit, and more than fit at once.
TEST_F(CudaExactTest, EqualsTheCpuBitForBitWhereNothingIsRounded) {
  std::uint32_t seed = 1;
  for (const auto& spec : {kOneExact, kDeepExact, kWideExact})
    for (const double multiplier : {1e-6, 0.9, 1.0}) {
      SCOPED_TRACE(Canonical(spec));
      const Case shard = Dyadic(spec, 500, 91);
      const double clip = Median(shard);
      const auto step = MakeStep(shard, 150);
      const double scale = 1.0 / 60;
      const auto terms = Terms(dp::GridTermsFor(clip, multiplier), scale);
      for (const std::size_t count : {0U, 1U, 40U, 150U, 151U, 333U}) {
        const auto rows = Rows(count, 500);
        const NoiseKey key = KeyOf(seed++);
        const auto gradient =
            Gradient(*step, shard.weights.size(), rows, key, terms);
        const auto expected =
            OnTheCpu(shard, rows, key, clip, multiplier, scale);
        EXPECT_EQ(gradient, expected.gradient) << count << " " << multiplier;
        const auto seen = step->TakeStatistics();
        EXPECT_EQ(seen.clipped, expected.seen.clipped);
        EXPECT_EQ(seen.rejected, 0);
        EXPECT_NEAR(seen.loss_sum, expected.seen.loss_sum,
                    1e-6 * (1 + expected.seen.loss_sum));
        if (count > 100) {
          EXPECT_GT(seen.clipped, 0);
          EXPECT_LT(seen.clipped, static_cast<int>(count));
        }
      }
      std::vector<float> weights(shard.weights.size());
      step->GetWeights(weights);
      EXPECT_EQ(weights, shard.weights) << "a rate of 0 moves nothing";
    }
}

TEST_F(CudaExactTest, IsNearTheCpuElsewhere) {
  std::uint32_t seed = 1;
  for (const auto& spec : {kTanh, kOdd, kBinary, kWideRegression, kLarge}) {
    SCOPED_TRACE(Canonical(spec));
    const Case shard(spec, 100, 92);
    const double clip = Median(shard);
    const auto step = MakeStep(shard, 64);
    for (const std::size_t count : {1U, 30U, 90U}) {
      const auto rows = Rows(count, 100);
      const NoiseKey key = KeyOf(seed++);
      const auto gradient =
          Gradient(*step, shard.weights.size(), rows, key,
                   Terms(dp::GridTermsFor(clip, 1e-6), 1.0 / 64));
      const auto expected = OnTheCpu(shard, rows, key, clip, 1e-6, 1.0 / 64);
      ExpectNear("gradient", gradient, expected.gradient, 4e-5);
      const auto seen = step->TakeStatistics();
      EXPECT_EQ(seen.clipped, expected.seen.clipped);
      EXPECT_EQ(seen.rejected, 0);
      EXPECT_NEAR(seen.loss_sum, expected.seen.loss_sum,
                  1e-5 * (1 + std::abs(expected.seen.loss_sum)));
    }
  }
}

// Others move to another place in the batch, and to another slice, when one is
// left out: what they add must not.
TEST_F(CudaExactTest, LeavingOneOutChangesItsOwnVectorAndNothingElse) {
  constexpr std::int64_t kReach = 1 << 18;
  for (const auto& spec : {kTanh, kOdd, kWideRegression, kLarge}) {
    SCOPED_TRACE(Canonical(spec));
    const Case shard(spec, 100, 93);
    const auto step = MakeStep(shard, 16);
    const auto rows = Rows(40, 100);
    const auto all = Steps(*step, shard, rows, kReach);
    for (const std::size_t one : {0U, 5U, 17U, 39U}) {
      auto others = rows;
      others.erase(others.begin() + static_cast<std::ptrdiff_t>(one));
      const auto without = Steps(*step, shard, others, kReach);
      const auto alone =
          Steps(*step, shard, std::span(rows).subspan(one, 1), kReach);
      double squares = 0;
      for (std::size_t i = 0; i < all.size(); ++i) {
        ASSERT_EQ(all[i] - without[i], alone[i]) << one << " " << i;
        squares += std::pow(static_cast<double>(alone[i]), 2);
      }
      EXPECT_GT(squares, 0);
      EXPECT_LE(squares, std::pow(static_cast<double>(kReach), 2));
    }
  }
}

TEST_F(CudaExactTest, NeitherOrderNorRoomNorTimeChangesABit) {
  for (const auto& spec : {kTanh, kOdd, kLarge}) {
    SCOPED_TRACE(Canonical(spec));
    const Case shard(spec, 300, 94);
    auto rows = Rows(280, 300);
    const auto terms = Terms(dp::GridTermsFor(0.3, 0.8), 1.0 / 256);
    const auto P = shard.weights.size();
    const auto first =
        Gradient(*MakeStep(shard, 280), P, rows, KeyOf(1), terms);
    const auto step = MakeStep(shard, 33);
    EXPECT_EQ(Gradient(*step, P, rows, KeyOf(1), terms), first);
    std::shuffle(rows.begin(), rows.end(), std::mt19937(3));
    EXPECT_EQ(Gradient(*step, P, rows, KeyOf(1), terms), first);
    EXPECT_NE(Gradient(*step, P, rows, KeyOf(2), terms), first);
  }
}

TEST_F(CudaExactTest, SpoiledRowsAddNothing) {
  for (const auto& spec : {kTanh, kOdd, kWideRegression}) {
    SCOPED_TRACE(Canonical(spec));
    Case shard(spec, 100, 95);
    const auto width = static_cast<std::size_t>(spec.inputs);
    shard.features[3 * width + 1] = NAN;
    shard.features[10 * width] = kInfinity;
    shard.features[20 * width + width - 1] = -kInfinity;
    std::set<std::uint32_t> spoiled = {3, 10, 20};
    if (spec.loss ==
        Loss::kMse) {  // A loss of infinity, a gradient that is not.
      shard.labels[25 * static_cast<std::size_t>(LabelWidth(spec))] = 1e30F;
      spoiled.insert(25);
    }
    const auto step = MakeStep(shard, 32);
    std::vector<std::uint32_t> all(40), sound;
    std::iota(all.begin(), all.end(), 0U);
    for (const auto row : all)
      if (!spoiled.contains(row)) sound.push_back(row);
    const auto terms = Terms(dp::GridTermsFor(0.2, 1e-3), 1);
    const auto P = shard.weights.size();
    const auto with = Gradient(*step, P, all, KeyOf(3), terms);
    const auto seen = step->TakeStatistics();
    EXPECT_EQ(seen.rejected, static_cast<int>(spoiled.size()));
    EXPECT_TRUE(std::isfinite(seen.loss_sum));
    EXPECT_EQ(Gradient(*step, P, sound, KeyOf(3), terms), with);
    EXPECT_EQ(step->TakeStatistics().rejected, 0);
  }
}

TEST_F(CudaExactTest, WeightsThatAreNotFiniteRejectEverybody) {
  Case shard(kTanh, 50, 96);
  const auto step = MakeStep(shard, 32);
  const auto terms = Terms(dp::GridTermsFor(1, 1), 1);
  const auto P = shard.weights.size();
  const auto nobody = Gradient(*step, P, {}, KeyOf(4), terms);
  shard.weights.back() = std::numeric_limits<float>::quiet_NaN();
  step->SetWeights(shard.weights);
  EXPECT_EQ(Gradient(*step, P, Rows(40, 50), KeyOf(4), terms), nobody);
  const auto seen = step->TakeStatistics();
  EXPECT_EQ(seen.rejected, 40);
  EXPECT_EQ(seen.clipped, 0);
  EXPECT_EQ(seen.loss_sum, 0);
}

// However an example is spoiled, in integers.
TEST_F(CudaExactTest, NobodyIsLongerThanTheReach) {
  for (const auto& spec : {kOneExact, kTanh, kOdd, kWideRegression, kLarge})
    for (const std::int64_t reach : {1, 1000, 1 << 20})
      for (const float scale :
           {1e-3F, 1.0F, 1e3F, 1e8F, 1e20F, kInfinity, NAN}) {
        Case shard(spec, 1, 97);
        shard.features[0] = 1;
        for (float& feature : shard.features) feature *= scale;
        const auto step = MakeStep(shard, 4);
        const auto steps =
            Steps(*step, shard, std::vector<std::uint32_t>{0}, reach);
        std::int64_t squares = 0;
        for (const auto value : steps) squares += value * value;
        EXPECT_LE(squares, reach * reach) << scale;
        const auto seen = step->TakeStatistics();
        EXPECT_LE(seen.clipped + seen.rejected, 1);
        if (!std::isfinite(scale)) {
          EXPECT_EQ(seen.rejected, 1);
        }
        if (seen.rejected == 1) {
          EXPECT_EQ(squares, 0);
        }
        // And a long one loses no more than the grid takes.
        if (seen.clipped == 1) {
          const double least = (1 - 1e-6) * static_cast<double>(reach) -
                               std::sqrt(static_cast<double>(steps.size()));
          EXPECT_GE(std::sqrt(static_cast<double>(squares)), least);
        }
      }
}

TEST_F(CudaExactTest, ManyStepsInFlightAreThoseOneByOne) {
  const Case shard(kTanh, 300, 98);
  const auto flying = MakeStep(shard, 64), waiting = MakeStep(shard, 64);
  std::vector<float> a(shard.weights.size()), b(shard.weights.size());
  auto terms = Terms(dp::GridTermsFor(0.5, 0.2), 0.02);
  terms.learning_rate = 0.1;
  for (std::uint32_t i = 0; i < 50; ++i) {
    const auto rows = Rows(i * 3, 300);
    flying->Begin(rows, KeyOf(i), terms);
    waiting->Begin(rows, KeyOf(i), terms);
    waiting->GetGradient(b);
  }
  flying->GetGradient(a);
  EXPECT_EQ(a, b);
  flying->GetWeights(a);
  waiting->GetWeights(b);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, shard.weights);
  EXPECT_EQ(flying->TakeStatistics().clipped,
            waiting->TakeStatistics().clipped);
  EXPECT_EQ(flying->TakeStatistics().clipped, 0) << "they were taken";
}

TEST_F(CudaExactTest, WeightsMoveAgainstTheGradient) {
  const Case shard(kOdd, 300, 99);
  const auto step = MakeStep(shard, 128);
  auto terms = Terms(dp::GridTermsFor(1, 1), 0.01);
  terms.learning_rate = 0.5;
  const auto gradient =
      Gradient(*step, shard.weights.size(), Rows(100, 300), KeyOf(9), terms);
  std::vector<float> weights(gradient.size()), expected(gradient.size());
  step->GetWeights(weights);
  for (std::size_t i = 0; i < weights.size(); ++i)
    expected[i] = shard.weights[i] - 0.5F * gradient[i];
  ExpectNear("weights", weights, expected, 1e-6);
}

TEST_F(CudaExactTest, NoiseIsOfTheSizeAskedFor) {
  const Case shard({100, {{1000, Activation::kRelu}, {10}}, Loss::kMse}, 2, 84);
  const auto step = MakeStep(shard, 16);
  const auto gradient = Gradient(*step, shard.weights.size(), {}, KeyOf(1),
                                 Terms(dp::GridTermsFor(0.7, 1.3), 2));
  double squares = 0;
  for (const float value : gradient) squares += double{value} * value;
  const auto n = static_cast<double>(gradient.size());
  const double variance = std::pow(0.7 * 1.3 * 2, 2);
  EXPECT_NEAR(squares / n, variance, variance * 5 * std::sqrt(2 / n));
}

TEST_F(CudaExactTest, RefusesTermsOfAnotherKind) {
  const Case shard(kBinary, 10, 100);
  const auto exact = MakeStep(shard, 8);
  const auto fast = MakeCudaStep(kBinary, 8, shard.features, shard.labels);
  auto terms = Terms(dp::GridTermsFor(1, 1), 1);
  EXPECT_THROW(fast->Begin({}, KeyOf(1), terms), std::invalid_argument);
  EXPECT_NO_THROW(exact->Begin({}, KeyOf(1), terms));
  terms.grid->reach = 0;
  EXPECT_THROW(exact->Begin({}, KeyOf(1), terms), std::invalid_argument);
  terms.grid->reach = (std::int64_t{1} << 30) + 1;
  EXPECT_THROW(exact->Begin({}, KeyOf(1), terms), std::invalid_argument);
  terms.grid = DeviceGrid{.reach = 5, .log_sigma = 31};
  EXPECT_THROW(exact->Begin({}, KeyOf(1), terms), std::invalid_argument);
  EXPECT_THROW(exact->Begin({}, KeyOf(1), {.clip_norm = 1}),
               std::invalid_argument);
}

}  // namespace
}  // namespace hearsay::model
