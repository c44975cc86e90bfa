#include "daemon/private_gradient.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace hearsay::daemon {

namespace {

constexpr const char* kKeptNorm = "privacy.clip_norm";
constexpr double kSmoothing = 0.02;  // Of the private view.
// Of the noise of a released loss, over its bound and the noise multiplier: it
// costs a hundredth of what the step may.
constexpr double kLossShare = 10;
constexpr int kMeasured = 3;  // Sums to know one's speed by.

// What is left for the gradient, of a step that also releases its loss.
double AfterLoss(const PrivateStepTerms& terms) {
  if (terms.loss_bound == 0) return terms.noise_multiplier;
  return terms.noise_multiplier / std::sqrt(1 - 1 / (kLossShare * kLossShare)) *
         (1 + 1e-12);
}

void Smooth(double value, double& average) {
  average += kSmoothing * (value - average);
}

}  // namespace

PrivateGradient::PrivateGradient(const PrivateStepTerms& terms,
                                 std::unique_ptr<PrivateSum> sum,
                                 std::size_t rows, Budget& budget)
    : terms_(terms),
      shard_rows_(rows),
      sum_(std::move(sum)),
      budget_(budget),
      sampler_(terms.sample_rate),
      divide_(terms.sample_rate),
      clip_norm_(terms.clip_norm) {
  if (terms.clip_quantile)
    adaptive_.emplace(dp::AdaptiveClipTerms{
        .initial = terms.clip_norm,
        .quantile = *terms.clip_quantile,
        .noise_multiplier = AfterLoss(terms),
        .expected_batch =
            terms.sample_rate * static_cast<double>(terms.public_size)});
}

PrivateSumTerms PrivateGradient::SumTerms() const {
  const double norm = adaptive_ ? adaptive_->norm() : terms_.clip_norm;
  // The count of what was clipped is paid out of the same multiplier.
  const double multiplier =
      adaptive_ ? adaptive_->gradient_multiplier() : AfterLoss(terms_);
  return {.clip_norm = norm,
          .clipping = terms_.clipping,
          .loss_bound = terms_.loss_bound,
          .noise_stddev = multiplier * norm,
          .noise_multiplier = multiplier,
          // A public constant, never the realised batch size.
          .scale = 1.0 / (divide_ * static_cast<double>(terms_.public_size))};
}

void PrivateGradient::ChangeRates(double sample_rate, double divide) {
  const dp::PoissonSampler sampler(sample_rate);
  budget_.ChangeSampleRate(sampler.sample_rate());
  sampler_ = sampler;
  divide_ = divide;
}

double PrivateGradient::MeasureSpeed(std::span<const float> weights) {
  if (shard_rows_ == 0) return 0;
  const auto count = static_cast<std::size_t>(
      std::max(1.0, std::round(sampler_.sample_rate() *
                               static_cast<double>(terms_.public_size))));
  rows_.resize(count);
  for (std::size_t i = 0; i < count; ++i)
    rows_[i] = static_cast<std::uint32_t>(i % shard_rows_);
  std::vector<float> nowhere(weights.size());
  PhaseSeconds untold;
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < kMeasured; ++i)
    sum_->Compute(weights, rows_, SumTerms(), noise_random_, nowhere, untold);
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - began;
  noise_random_.Ratchet();
  return kMeasured * static_cast<double>(count) / took.count();
}

GradientSource::Outcome PrivateGradient::Compute(std::span<const float> weights,
                                                 std::uint64_t steps_wanted,
                                                 std::span<float> gradient) {
  // Charge first: from here on, whatever happens counts as a release.
  const auto paid = budget_.Pay(steps_wanted);
  if (!paid) return Outcome::kExhausted;

  sampler_.Sample(shard_rows_, sampling_random_, rows_);
  const auto seen = sum_->Compute(weights, rows_, SumTerms(), noise_random_,
                                  gradient, working_);
  if (adaptive_) Adapt(seen);
  if (terms_.loss_bound > 0) ReleaseLoss(*paid, seen.bounded_loss_sum);
  noise_random_.Ratchet();
  sampling_random_.Ratchet();
  Show(seen);
  return Outcome::kGradient;
}

void PrivateGradient::Show(const model::ClippedSumStatistics& seen) {
  const std::lock_guard lock(mutex_);
  phases_ = working_;
  const auto size = static_cast<double>(rows_.size());
  Smooth(size, seen_.realised_batch_size);
  if (!rows_.empty()) {
    Smooth(seen.loss_sum / size, seen_.train_loss);
    Smooth(seen.clipped / size, seen_.clip_fraction);
  }
  seen_.rejected += static_cast<std::uint64_t>(seen.rejected);
}

void PrivateGradient::ReleaseLoss(const PaidStep& paid, double bounded_sum) {
  const double stddev =
      kLossShare * terms_.noise_multiplier * terms_.loss_bound;
  const double released =
      Release(paid, Private<double>(bounded_sum), stddev, noise_random_) /
      (terms_.sample_rate * static_cast<double>(terms_.public_size));
  const std::lock_guard lock(mutex_);
  if (noised_loss_)
    Smooth(released, *noised_loss_);
  else
    noised_loss_ = released;
}

void PrivateGradient::Adapt(const model::ClippedSumStatistics& seen) {
  const auto batch = static_cast<double>(rows_.size());
  adaptive_->Update(batch - seen.clipped - seen.rejected, batch, noise_random_);
  const std::lock_guard lock(mutex_);
  clip_norm_ = adaptive_->norm();
}

std::vector<GradientSource::State> PrivateGradient::Kept() const {
  if (!adaptive_) return {};
  return {{kKeptNorm, {static_cast<float>(adaptive_->norm())}}};
}

void PrivateGradient::Restore(std::span<const State> states) {
  for (const auto& state : states) {
    if (!adaptive_ || state.name != kKeptNorm || state.values.size() != 1 ||
        !(state.values[0] > 0))
      continue;
    adaptive_->Restore(state.values[0]);
    const std::lock_guard lock(mutex_);
    clip_norm_ = adaptive_->norm();
  }
}

double PrivateGradient::clip_norm() const {
  const std::lock_guard lock(mutex_);
  return clip_norm_;
}

void PrivateGradient::Finish() { budget_.Settle(); }

PrivateView PrivateGradient::view() const {
  const std::lock_guard lock(mutex_);
  return {Private(seen_.train_loss), Private(seen_.clip_fraction),
          Private(seen_.realised_batch_size), Private(seen_.rejected)};
}

Private<PhaseSeconds> PrivateGradient::phases() const {
  const std::lock_guard lock(mutex_);
  return Private(phases_);
}

std::optional<double> PrivateGradient::noised_loss() const {
  const std::lock_guard lock(mutex_);
  return noised_loss_;
}

}  // namespace hearsay::daemon
