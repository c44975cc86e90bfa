// The exact sum against the fast one, and what it promises beyond it.
#include "daemon/exact_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <vector>

#include "daemon/noise_check.h"
#include "model/shard.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

const model::ModelSpec kExactSpec{
    2, {{3, model::Activation::kTanh}, {2}}, model::Loss::kSoftmaxCrossEntropy};

class ExactSumTest : public ::testing::Test {
 protected:
  ExactSumTest() : weights_(model::ParameterCount(kExactSpec)) {
    std::vector<float> values, labels;
    for (int i = 0; i < 12; ++i) {
      values.push_back(std::sin(static_cast<float>(i)));
      values.push_back(std::cos(static_cast<float>(2 * i)));
      labels.push_back(static_cast<float>(i % 2));
    }
    model::ShardContents contents;
    contents.columns.resize(2);
    contents.columns[0].name = "a";
    contents.columns[1].name = "b";
    contents.label.classes = {"no", "yes"};
    contents.public_size = 12;
    contents.values = values;
    contents.labels = labels;
    model::WriteShard(folder_ / "shard", contents);
    shard_.emplace(model::Shard::Open(folder_ / "shard"));
    for (std::size_t i = 0; i < weights_.size(); ++i)
      weights_[i] = std::sin(static_cast<float>(3 * i));
  }

  std::unique_ptr<PrivateSum> Exact() const {
    return MakeExactSum(model::MakeCpuNetwork(kExactSpec, 1), *shard_,
                        weights_.size());
  }

  static PrivateSumTerms Terms(double clip, double multiplier) {
    return {.clip_norm = clip,
            .noise_stddev = clip * multiplier,
            .noise_multiplier = multiplier,
            .scale = 0.5};
  }

  model::ClippedSumStatistics Sum(PrivateSum& sum, const PrivateSumTerms& terms,
                                  const std::vector<std::uint32_t>& rows,
                                  std::vector<float>& gradient) {
    return sum.Compute(weights_, rows, terms, noise_, gradient, phases_);
  }

  tests::TemporaryFolder folder_;
  std::optional<model::Shard> shard_;
  std::vector<float> weights_;
  dp::SecureRandom noise_;
  PhaseSeconds phases_;
};

// Noise so small that it drowns nothing.
TEST_F(ExactSumTest, IsTheFastSumToWithinItsGrid) {
  const std::vector<std::uint32_t> rows = {0, 1, 3, 4, 5, 8, 11};
  for (const double clip : {0.05, 0.3, 10.0}) {
    const auto terms = Terms(clip, 1e-6);
    std::vector<float> exact(weights_.size(), 5), fast(weights_.size(), 7);
    const auto seen = Sum(*Exact(), terms, rows, exact);
    auto without = terms;
    without.noise_stddev = 0;
    const auto host =
        MakeHostSum(model::MakeCpuNetwork(kExactSpec, 4), *shard_, 4);
    const auto expected = Sum(*host, without, rows, fast);
    for (std::size_t i = 0; i < exact.size(); ++i)
      EXPECT_NEAR(exact[i], fast[i], 4e-5 * clip);
    EXPECT_EQ(seen.clipped, expected.clipped);
    EXPECT_EQ(seen.rejected, 0);
    EXPECT_NEAR(seen.loss_sum, expected.loss_sum, 1e-5);
  }
}

TEST_F(ExactSumTest, EveryStepHasMasksOfItsOwn) {
  const model::ModelSpec dropout{
      2,
      {{3, model::Activation::kTanh}, model::Dropout{0.5}, {2}},
      model::Loss::kSoftmaxCrossEntropy};
  const auto sum =
      MakeExactSum(model::MakeCpuNetwork(dropout, 1), *shard_, weights_.size());
  std::vector<float> one(weights_.size()), two(weights_.size());
  const auto quiet = Terms(10, 1e-6);
  Sum(*sum, quiet, {0, 1, 2, 3, 4, 5, 6, 7}, one);
  Sum(*sum, quiet, {0, 1, 2, 3, 4, 5, 6, 7}, two);
  float apart = 0;
  for (std::size_t i = 0; i < one.size(); ++i)
    apart = std::max(apart, std::abs(one[i] - two[i]));
  EXPECT_GT(apart, 1e-2) << "a thousand times the noise";
}

TEST_F(ExactSumTest, OfNobodyIsNoiseOfTheSizeAskedForAndNew) {
  const auto sum = Exact();
  // As every start of a node does.
  EXPECT_NO_THROW(CheckNoise(*sum, weights_.size(), Terms(0.7, 1.3)));
  auto less = Terms(0.7, 1.3);
  less.noise_multiplier *= 0.9;  // Of 17,000 values 0.97 is not seen.
  EXPECT_THROW(CheckNoise(*sum, weights_.size(), less), std::runtime_error);
  std::vector<float> one(weights_.size()), two(weights_.size());
  Sum(*sum, Terms(1, 1), {}, one);
  Sum(*sum, Terms(1, 1), {}, two);
  EXPECT_NE(one, two);
}

TEST_F(ExactSumTest, WhatIsNotFiniteAddsNothingAndIsCounted) {
  weights_.back() = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> gradient(weights_.size(), 7);
  const auto seen = Sum(*Exact(), Terms(1, 1e-6), {1, 2, 3}, gradient);
  EXPECT_EQ(seen.rejected, 3);
  EXPECT_EQ(seen.clipped, 0);
  EXPECT_EQ(seen.loss_sum, 0);
  for (const float value : gradient) EXPECT_LT(std::abs(value), 1e-4);
}

TEST_F(ExactSumTest, FollowsTermsThatChange) {
  const auto sum = Exact();
  const auto spread = [&](const PrivateSumTerms& terms) {
    double squares = 0;
    std::vector<float> gradient(weights_.size());
    constexpr int kTimes = 500;
    for (int i = 0; i < kTimes; ++i) {
      Sum(*sum, terms, {}, gradient);
      for (const float value : gradient) squares += double{value} * value;
    }
    return std::sqrt(squares / kTimes / static_cast<double>(gradient.size()));
  };
  EXPECT_NEAR(spread(Terms(1, 2)), 1, 0.06);
  EXPECT_NEAR(spread(Terms(10, 2)), 10, 0.6);
  EXPECT_NEAR(spread(Terms(10, 1)), 5, 0.3);
}

TEST_F(ExactSumTest, RefusesToBeWithoutNoise) {
  std::vector<float> gradient(weights_.size());
  EXPECT_THROW(Sum(*Exact(), Terms(1, 0), {}, gradient), std::invalid_argument);
}

}  // namespace
}  // namespace hearsay::daemon
