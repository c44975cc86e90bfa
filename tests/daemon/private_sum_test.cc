#include "daemon/private_sum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <set>
#include <stdexcept>
#include <vector>

#include "dp/grid_sum.h"
#include "model/shard.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

constexpr int kRows = 10;
const model::ModelSpec kSpec{
    2, {{3, model::Activation::kTanh}, {2}}, model::Loss::kSoftmaxCrossEntropy};

class PrivateSumTest : public ::testing::Test {
 protected:
  PrivateSumTest() : weights_(model::ParameterCount(kSpec)) {
    std::vector<float> values, labels;
    for (int i = 0; i < kRows; ++i) {
      values.push_back(std::sin(static_cast<float>(i)));
      values.push_back(std::cos(static_cast<float>(2 * i)));
      labels.push_back(static_cast<float>(i % 2));
    }
    model::ShardContents contents;
    contents.columns.resize(2);
    contents.columns[0].name = "a";
    contents.columns[1].name = "b";
    contents.label.classes = {"no", "yes"};
    contents.public_size = kRows;
    contents.values = values;
    contents.labels = labels;
    model::WriteShard(folder_ / "shard", contents);
    shard_.emplace(model::Shard::Open(folder_ / "shard"));
    for (std::size_t i = 0; i < weights_.size(); ++i)
      weights_[i] = std::sin(static_cast<float>(3 * i));
  }

  tests::TemporaryFolder folder_;
  std::optional<model::Shard> shard_;
  std::vector<float> weights_;
  dp::SecureRandom noise_;
  PhaseSeconds phases_;
};

TEST_F(PrivateSumTest, OnTheHostSlicesMakeNoDifference) {
  const std::vector<std::uint32_t> rows = {0, 2, 3, 5, 6, 7, 9};
  const PrivateSumTerms terms{
      .clip_norm = 0.3, .noise_stddev = 0, .scale = 0.5};
  std::vector<float> whole(weights_.size(), 7), sliced(weights_.size(), 9);
  const auto sum = [&](int physical_batch, std::vector<float>& gradient) {
    return MakeHostSum(model::MakeCpuNetwork(kSpec, physical_batch), *shard_,
                       physical_batch)
        ->Compute(weights_, rows, terms, noise_, gradient, phases_);
  };
  const auto one = sum(16, whole);
  const auto many = sum(2, sliced);
  EXPECT_EQ(one.clipped, many.clipped);
  EXPECT_GT(one.clipped, 0);
  double length = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_NEAR(whole[i], sliced[i], 1e-6);
    length += static_cast<double>(whole[i]) * whole[i];
  }
  EXPECT_GT(length, 0);
  EXPECT_LE(std::sqrt(length), 0.5 * 0.3 * static_cast<double>(rows.size()));
}

TEST_F(PrivateSumTest, OnTheHostNobodyIsZeroAndNoiseIsScaled) {
  const auto host = MakeHostSum(model::MakeCpuNetwork(kSpec, 4), *shard_, 4);
  std::vector<float> gradient(weights_.size(), 7);
  host->Compute(weights_, {}, {.scale = 2}, noise_, gradient, phases_);
  for (const float value : gradient) EXPECT_EQ(value, 0);
  double squares = 0;
  constexpr int kTimes = 200;
  for (int i = 0; i < kTimes; ++i) {
    host->Compute(weights_, {}, {.noise_stddev = 3, .scale = 2}, noise_,
                  gradient, phases_);
    for (const float value : gradient)
      squares += static_cast<double>(value) * value;
  }
  const double n = kTimes * static_cast<double>(gradient.size());
  EXPECT_NEAR(squares / n, 36, 36 * 5 * std::sqrt(2 / n));
}

// Large enough that workers share out both noise and rows.
struct Shared {
  const model::ModelSpec spec{2,
                              {{12000, model::Activation::kRelu}, {2}},
                              model::Loss::kSoftmaxCrossEntropy};
  std::vector<float> weights =
      std::vector<float>(model::ParameterCount(spec), 0.01F);
  std::vector<float> gradient = std::vector<float>(weights.size());

  std::unique_ptr<PrivateSum> Make(const model::Shard& shard, int threads) {
    const auto workers = std::make_shared<model::Workers>(threads);
    return MakeHostSum(model::MakeCpuNetwork(spec, 300, {}, workers), shard,
                       300, workers);
  }
};

TEST_F(PrivateSumTest, OnTheHostWorkersAddUpWhatOneDoes) {
  Shared one, several;
  std::vector<std::uint32_t> rows;
  for (std::uint32_t i = 0; i < 500; ++i) rows.push_back(i * 7 % 10);
  const PrivateSumTerms terms{.clip_norm = 0.01, .scale = 3};
  const auto seen =
      one.Make(*shard_, 1)
          ->Compute(one.weights, rows, terms, noise_, one.gradient, phases_);
  const auto same = several.Make(*shard_, 3)
                        ->Compute(several.weights, rows, terms, noise_,
                                  several.gradient, phases_);
  EXPECT_EQ(seen.clipped, 500);
  EXPECT_EQ(same.clipped, 500);
  EXPECT_NEAR(same.loss_sum, seen.loss_sum, 1e-3);
  for (std::size_t i = 0; i < one.gradient.size(); ++i)
    ASSERT_NEAR(several.gradient[i], one.gradient[i], 1e-5) << i;
}

TEST_F(PrivateSumTest, OnTheHostEveryWorkerAddsNoiseOfItsOwn) {
  Shared shared;
  const auto host = shared.Make(*shard_, 3);
  constexpr int kTimes = 8;
  const std::size_t size = shared.gradient.size();
  std::vector<float> before(size);
  double squares = 0, products = 0;
  std::set<float> values;
  for (int i = 0; i < kTimes; ++i) {
    host->Compute(shared.weights, {}, {.noise_stddev = 3, .scale = 2}, noise_,
                  shared.gradient, phases_);
    for (std::size_t k = 0; k < size; ++k) {
      squares += double{shared.gradient[k]} * shared.gradient[k];
      products += double{shared.gradient[k]} * before[k];
      values.insert(shared.gradient[k]);
    }
    before = shared.gradient;
  }
  const double n = kTimes * static_cast<double>(size);
  EXPECT_NEAR(squares / n, 36, 36 * 5 * std::sqrt(2 / n));
  EXPECT_NEAR(products / n, 0, 36 * 5 / std::sqrt(n));
  // Two workers with one stream would draw the same; by chance few floats are.
  EXPECT_GT(static_cast<double>(values.size()), 0.97 * n);
}

TEST_F(PrivateSumTest, OnTheHostEveryStepHasMasksOfItsOwn) {
  const model::ModelSpec dropout{
      2,
      {{3, model::Activation::kTanh}, model::Dropout{0.5}, {2}},
      model::Loss::kSoftmaxCrossEntropy};
  const std::vector<std::uint32_t> rows = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const auto host = MakeHostSum(model::MakeCpuNetwork(dropout, 4), *shard_, 4);
  std::set<std::vector<float>> gradients;
  for (int step = 0; step < 8; ++step) {
    std::vector<float> gradient(weights_.size());
    host->Compute(weights_, rows, {.clip_norm = 10}, noise_, gradient, phases_);
    gradients.insert(gradient);
  }
  EXPECT_EQ(gradients.size(), 8u);
}

// A device that only writes down what it is told.
struct FakeStep final : model::DeviceStep {
  std::vector<float> weights;
  std::set<model::NoiseKey> keys;
  std::vector<std::uint32_t> rows;
  model::DeviceStepTerms terms;

  void SetWeights(std::span<const float> values) override {
    weights.assign(values.begin(), values.end());
  }
  void GetWeights(std::span<float> /*values*/) override { FAIL(); }
  void Begin(std::span<const std::uint32_t> which, const model::NoiseKey& key,
             const model::DeviceStepTerms& with) override {
    rows.assign(which.begin(), which.end());
    EXPECT_TRUE(keys.insert(key).second) << "equal keys are equal noise";
    terms = with;
  }
  void GetGradient(std::span<float> gradient) override {
    std::fill(gradient.begin(), gradient.end(), 5.0F);
  }
  model::ClippedSumStatistics TakeStatistics() override {
    return {.loss_sum = 1.5, .clipped = 2, .rejected = 1};
  }
};

TEST_F(PrivateSumTest, ADeviceGetsAFreshKeyForEveryStep) {
  auto step = std::make_unique<FakeStep>();
  const FakeStep& fake = *step;
  const auto device = MakeDeviceSum(std::move(step));
  const std::vector<std::uint32_t> rows = {1, 4};
  std::vector<float> gradient(weights_.size());
  constexpr int kSteps = 100;
  for (int i = 0; i < kSteps; ++i) {
    const auto seen = device->Compute(
        weights_, rows, {.clip_norm = 0.7, .noise_stddev = 1.4, .scale = 0.01},
        noise_, gradient, phases_);
    EXPECT_EQ(seen.clipped, 2);
    EXPECT_EQ(seen.rejected, 1);
  }
  EXPECT_EQ(fake.keys.size(), std::size_t{kSteps});
  EXPECT_EQ(fake.rows, rows);
  EXPECT_EQ(fake.weights, weights_);
  EXPECT_EQ(fake.terms.clip_norm, 0.7);
  EXPECT_EQ(fake.terms.noise_stddev, 1.4);
  EXPECT_EQ(fake.terms.scale, 0.01);
  EXPECT_EQ(fake.terms.learning_rate, 0) << "the optimiser is the trainer's";
  EXPECT_FALSE(fake.terms.grid);
  EXPECT_EQ(gradient.front(), 5);
}

TEST_F(PrivateSumTest, AnExactDeviceGetsTheGridOfTheTerms) {
  auto step = std::make_unique<FakeStep>();
  const FakeStep& fake = *step;
  const auto device = MakeDeviceSum(std::move(step), DeviceNoise::kExact);
  std::vector<float> gradient(weights_.size());
  // They follow terms that change.
  for (const double multiplier : {0.8, 1.0, 7.3, 1e-6})
    for (const double clip : {0.7, 3.0}) {
      const auto seen = device->Compute(weights_, std::vector<std::uint32_t>{1},
                                        {.clip_norm = clip,
                                         .noise_stddev = clip * multiplier,
                                         .noise_multiplier = multiplier,
                                         .scale = 0.01},
                                        noise_, gradient, phases_);
      EXPECT_EQ(seen.clipped, 2);
      const dp::GridSum expected(1, clip, multiplier);
      ASSERT_TRUE(fake.terms.grid);
      EXPECT_EQ(fake.terms.grid->reach, expected.reach());
      EXPECT_EQ(std::int64_t{1} << fake.terms.grid->log_sigma,
                expected.sigma());
      EXPECT_EQ(fake.terms.grid->margin, dp::kGridMargin);
      EXPECT_EQ(fake.terms.clip_norm, clip);
      EXPECT_EQ(fake.terms.scale, 0.01);
      EXPECT_EQ(fake.terms.learning_rate, 0);
    }
}

TEST_F(PrivateSumTest, AnExactDeviceIsNotAskedForASumWithoutNoise) {
  auto step = std::make_unique<FakeStep>();
  const FakeStep& fake = *step;
  const auto device = MakeDeviceSum(std::move(step), DeviceNoise::kExact);
  std::vector<float> gradient(weights_.size());
  for (const double multiplier : {0.0, 0x1p-31, 0x1p31, std::nan("")})
    EXPECT_THROW(
        device->Compute(weights_, {},
                        {.clip_norm = 1, .noise_multiplier = multiplier},
                        noise_, gradient, phases_),
        std::invalid_argument);
  EXPECT_THROW(
      device->Compute(weights_, {}, {.clip_norm = 0, .noise_multiplier = 1},
                      noise_, gradient, phases_),
      std::invalid_argument);
  EXPECT_TRUE(fake.keys.empty());
}

}  // namespace
}  // namespace hearsay::daemon
