// What a step pays for beside its gradient, and what of it may be seen.
#include "daemon/private_gradient.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "daemon/admin_server.h"
#include "daemon/report.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

constexpr double kNoise = 1.5;
constexpr std::size_t kShardRows = 400;

// Sees what a test says, and keeps what it was told.
class SaidSum final : public PrivateSum {
 public:
  model::ClippedSumStatistics Compute(std::span<const float> /*weights*/,
                                      std::span<const std::uint32_t> rows,
                                      const PrivateSumTerms& with,
                                      dp::SecureRandom& /*noise*/,
                                      std::span<float> gradient,
                                      PhaseSeconds& /*phases*/) override {
    std::fill(gradient.begin(), gradient.end(), 0.0F);
    terms = with;
    auto seen = says;
    // Of the batch, which is random.
    seen.clipped = static_cast<int>(
        std::lround(clipped * static_cast<double>(rows.size())));
    return seen;
  }

  model::ClippedSumStatistics says;
  double clipped = 0;
  PrivateSumTerms terms;
};

class PrivateGradientTest : public testing::Test {
 protected:
  void Make(const PrivateStepTerms& terms) {
    gradient_.reset();
    budget_ = std::make_unique<Budget>(
        dp::Ledger(folder_ / ("ledger" + std::to_string(made_++)), "d", "a@1"),
        BudgetTerms{terms.sample_rate, terms.noise_multiplier, 1e-5,
                    std::nullopt, dp::Accountant::kRdp});
    auto sum = std::make_unique<SaidSum>();
    sum_ = sum.get();
    gradient_ = std::make_unique<PrivateGradient>(terms, std::move(sum),
                                                  kShardRows, *budget_);
  }

  void Take(int steps) {
    std::vector<float> weights(3), out(3);
    for (int i = 0; i < steps; ++i)
      ASSERT_EQ(gradient_->Compute(weights, 100000, out),
                GradientSource::Outcome::kGradient);
  }

  static PrivateStepTerms Terms() {
    return {.sample_rate = 0.25,
            .noise_multiplier = kNoise,
            .clip_norm = 2,
            .public_size = kShardRows};
  }

  tests::TemporaryFolder folder_;
  int made_ = 0;
  std::unique_ptr<Budget> budget_;
  SaidSum* sum_ = nullptr;
  std::unique_ptr<PrivateGradient> gradient_;
};

TEST_F(PrivateGradientTest, WithoutAnythingElseTheGradientHasAllTheNoise) {
  Make(Terms());
  Take(3);
  EXPECT_EQ(sum_->terms.noise_multiplier, kNoise);
  EXPECT_EQ(sum_->terms.noise_stddev, 2 * kNoise);
  EXPECT_EQ(gradient_->clip_norm(), 2);
  EXPECT_EQ(gradient_->noised_loss(), std::nullopt);
  EXPECT_TRUE(gradient_->Kept().empty());
}

// Both together are one Gaussian mechanism of the multiplier that is charged.
TEST_F(PrivateGradientTest, ALossIsPaidOutOfTheSameStep) {
  auto terms = Terms();
  terms.loss_bound = 4;
  Make(terms);
  sum_->says.bounded_loss_sum = 70;
  Take(1);
  EXPECT_EQ(sum_->terms.loss_bound, 4);
  const double z = sum_->terms.noise_multiplier;
  EXPECT_LE(std::hypot(1 / z, 1 / (10 * kNoise)), 1 / kNoise);
  EXPECT_NEAR(std::hypot(1 / z, 1 / (10 * kNoise)), 1 / kNoise, 1e-9);
  EXPECT_EQ(sum_->terms.noise_stddev, 2 * z);
}

TEST_F(PrivateGradientTest, ALossIsReleasedWithTheNoiseThatWasPaidFor) {
  auto terms = Terms();
  terms.loss_bound = 4;
  // Deviation of one release of the mean: 10 z B / (q N).
  const double deviation = 10 * kNoise * 4 / 100;
  double total = 0, squares = 0;
  constexpr int kTimes = 300;
  for (int i = 0; i < kTimes; ++i) {
    Make(terms);
    sum_->says.bounded_loss_sum = 70;
    sum_->says.loss_sum = 7000;  // Not that of which the bound was taken.
    Take(1);
    const double off = (*gradient_->noised_loss() - 0.7) / deviation;
    total += off;
    squares += off * off;
  }
  EXPECT_LT(std::abs(total), 6.5 * std::sqrt(kTimes));
  EXPECT_NEAR(squares / kTimes, 1, 6.5 * std::sqrt(2.0 / kTimes));
  Take(400);  // And is smoothed.
  EXPECT_NEAR(*gradient_->noised_loss(), 0.7, 6.5 * 0.101 * deviation);
}

TEST_F(PrivateGradientTest, AnAdaptiveClipMovesAndIsPaidForToo) {
  auto terms = Terms();
  terms.clip_quantile = 0.5;
  terms.loss_bound = 4;
  Make(terms);
  Take(1);
  EXPECT_EQ(sum_->terms.clip_norm, 2);
  const double z = sum_->terms.noise_multiplier;
  const double count = 0.5 / (0.05 * 0.25 * kShardRows);
  EXPECT_NEAR(
      std::sqrt(1 / (z * z) + count * count + 1 / (100 * kNoise * kNoise)),
      1 / kNoise, 1e-9);
  // Nobody is clipped: it shrinks; all are: it grows.
  Take(60);
  const double small = gradient_->clip_norm();
  EXPECT_LT(small, 0.3);
  EXPECT_NEAR(sum_->terms.noise_stddev,
              sum_->terms.noise_multiplier * sum_->terms.clip_norm, 1e-12);
  sum_->clipped = 1;
  Take(60);
  EXPECT_GT(gradient_->clip_norm(), 3 * small);
}

TEST_F(PrivateGradientTest, AnAdaptiveClipGoesOnFromACheckpoint) {
  auto terms = Terms();
  terms.clip_quantile = 0.5;
  Make(terms);
  Take(40);
  const auto kept = gradient_->Kept();
  ASSERT_EQ(kept.size(), 1U);
  const double norm = gradient_->clip_norm();
  Make(terms);
  EXPECT_EQ(gradient_->clip_norm(), 2);
  gradient_->Restore(kept);
  EXPECT_NEAR(gradient_->clip_norm(), norm, 1e-6 * norm);
  // What is not its own, or no norm, is let be.
  const std::vector<GradientSource::State> others = {
      {"momentum", {3}}, {kept[0].name, {-1}}, {kept[0].name, {1, 2}}};
  gradient_->Restore(others);
  EXPECT_NEAR(gradient_->clip_norm(), norm, 1e-6 * norm);
}

TEST_F(PrivateGradientTest, ABatchTooSmallToCountIsRefused) {
  auto terms = Terms();
  terms.clip_quantile = 0.5;
  terms.sample_rate = 0.01;
  EXPECT_THROW(Make(terms), std::invalid_argument);
}

// The one door to private numbers is the owner's.
TEST_F(PrivateGradientTest, PrivateNumbersOpenByTheOwnersDoorAlone) {
  Make(Terms());
  sum_->says.rejected = 1;
  Take(5);
  AdminRequest request;
  EXPECT_FALSE(OwnersDoor::Of(request));
  request.local = true;
  const auto door = OwnersDoor::Of(request);
  ASSERT_TRUE(door);
  EXPECT_EQ(door->Open(gradient_->view().rejected), 5U);
}

}  // namespace
}  // namespace hearsay::daemon
