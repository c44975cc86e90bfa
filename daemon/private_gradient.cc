#include "daemon/private_gradient.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "dp/gaussian_noise.h"

namespace hearsay::daemon {

namespace {

constexpr double kSmoothing = 0.02;  // Of the private view.

double Seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

void Smooth(double value, double& average) {
  average += kSmoothing * (value - average);
}

}  // namespace

PrivateGradient::PrivateGradient(const PrivateStepTerms& terms,
                                 std::unique_ptr<model::Network> network,
                                 const model::Shard& shard, Budget& budget)
    : terms_(terms),
      shard_(shard),
      network_(std::move(network)),
      budget_(budget),
      sampler_(terms.sample_rate) {
  const auto batch = static_cast<std::size_t>(terms.physical_batch);
  features_.resize(batch * static_cast<std::size_t>(shard.features()));
  labels_.resize(batch);
}

GradientSource::Outcome PrivateGradient::Compute(std::span<const float> weights,
                                                 std::uint64_t steps_wanted,
                                                 std::span<float> gradient) {
  // Charge first: from here on, whatever happens counts as a release.
  if (!budget_.PayOneStep(steps_wanted)) return Outcome::kExhausted;

  std::fill(gradient.begin(), gradient.end(), 0.0F);
  sampler_.Sample(shard_.rows(), sampling_random_, rows_);
  model::ClippedSumStatistics seen;
  const auto batch = static_cast<std::size_t>(terms_.physical_batch);
  for (std::size_t begin = 0; begin < rows_.size(); begin += batch) {
    const auto count = std::min(batch, rows_.size() - begin);
    AddSlice(weights, std::span(rows_).subspan(begin, count), gradient, seen);
  }

  const auto before_noise = std::chrono::steady_clock::now();
  dp::AddGaussianNoise(terms_.noise_multiplier * terms_.clip_norm,
                       noise_random_, gradient);
  noise_random_.Ratchet();
  sampling_random_.Ratchet();
  // A public constant, never the realised batch size.
  const auto scale = static_cast<float>(
      1.0 / (terms_.sample_rate * static_cast<double>(terms_.public_size)));
  for (float& value : gradient) value *= scale;

  const std::lock_guard lock(mutex_);
  phases_.clip_noise +=
      Seconds(std::chrono::steady_clock::now() - before_noise);
  const auto size = static_cast<double>(rows_.size());
  Smooth(size, view_.realised_batch_size);
  if (!rows_.empty()) {
    Smooth(seen.loss_sum / size, view_.train_loss);
    Smooth(seen.clipped / size, view_.clip_fraction);
  }
  view_.rejected += static_cast<std::uint64_t>(seen.rejected);
  return Outcome::kGradient;
}

void PrivateGradient::AddSlice(std::span<const float> weights,
                               std::span<const std::uint32_t> rows,
                               std::span<float> sum,
                               model::ClippedSumStatistics& seen) {
  const auto begin = std::chrono::steady_clock::now();
  const auto features = std::span(features_).first(
      rows.size() * static_cast<std::size_t>(shard_.features()));
  const auto labels = std::span(labels_).first(rows.size());
  shard_.Gather(rows, features, labels);
  const auto loaded = std::chrono::steady_clock::now();
  const auto slice = network_->AddClippedSum(
      weights, {static_cast<int>(rows.size()), features, labels},
      terms_.clip_norm, sum);
  const auto done = std::chrono::steady_clock::now();
  seen.loss_sum += slice.loss_sum;
  seen.clipped += slice.clipped;
  seen.rejected += slice.rejected;
  const std::lock_guard lock(mutex_);
  phases_.load += Seconds(loaded - begin);
  phases_.forward_backward += Seconds(done - loaded);
}

void PrivateGradient::Finish() { budget_.Settle(); }

PrivateView PrivateGradient::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

PhaseSeconds PrivateGradient::phases() const {
  const std::lock_guard lock(mutex_);
  return phases_;
}

}  // namespace hearsay::daemon
