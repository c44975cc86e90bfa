#include "daemon/private_sum.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>
#include <vector>

#include "dp/gaussian_noise.h"
#include "dp/grid_sum.h"

namespace hearsay::daemon {

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
      .count();
}

void BeginStep(model::Network& network, dp::SecureRandom& noise) {
  model::StepKey key{};
  noise.Fill(std::as_writable_bytes(std::span(key)));
  network.BeginStep(key);
  OPENSSL_cleanse(key.data(), sizeof key);
}

namespace {

using Clock = std::chrono::steady_clock;

// What a worker takes at a time.
constexpr std::size_t kNoisePiece = std::size_t{1} << 14;
constexpr std::size_t kGatheredRows = 64;

class HostSum final : public PrivateSum {
 public:
  HostSum(std::unique_ptr<model::Network> network, const model::Shard& shard,
          int physical_batch, std::shared_ptr<model::Workers> workers)
      : network_(std::move(network)),
        shard_(shard),
        workers_(workers ? std::move(workers)
                         : std::make_shared<model::Workers>(1)),
        others_noise_(static_cast<std::size_t>(workers_->count() - 1)),
        failed_(static_cast<std::size_t>(workers_->count())),
        features_(static_cast<std::size_t>(physical_batch) *
                  static_cast<std::size_t>(shard.features())),
        labels_(static_cast<std::size_t>(physical_batch)) {}

  model::ClippedSumStatistics Compute(std::span<const float> weights,
                                      std::span<const std::uint32_t> rows,
                                      const PrivateSumTerms& terms,
                                      dp::SecureRandom& noise,
                                      std::span<float> gradient,
                                      PhaseSeconds& phases) override {
    std::fill(gradient.begin(), gradient.end(), 0.0F);
    BeginStep(*network_, noise);
    model::ClippedSumStatistics seen;
    while (!rows.empty()) {
      const auto slice = rows.first(std::min(rows.size(), labels_.size()));
      rows = rows.subspan(slice.size());
      AddSlice(weights, slice,
               {terms.clip_norm, terms.clipping, terms.loss_bound}, gradient,
               phases, seen);
    }
    const auto begin = Clock::now();
    AddNoise(terms, noise, gradient);
    phases.clip_noise += SecondsSince(begin);
    return seen;
  }

 private:
  // Who adds noise to which piece does not matter: each draws from a stream
  // that nothing else is drawn from.
  void AddNoise(const PrivateSumTerms& terms, dp::SecureRandom& noise,
                std::span<float> gradient) {
    const auto scale = static_cast<float>(terms.scale);
    workers_->Share(gradient.size(), kNoisePiece,
                    [&](int w, std::size_t first, std::size_t size) {
                      const auto worker = static_cast<std::size_t>(w);
                      const auto piece = gradient.subspan(first, size);
                      try {
                        dp::AddGaussianNoise(
                            terms.noise_stddev,
                            w == 0 ? noise : others_noise_[worker - 1], piece);
                      } catch (...) {
                        failed_[worker] = std::current_exception();
                      }
                      for (float& value : piece) value *= scale;
                    });
    for (auto& error : failed_)
      if (error) std::rethrow_exception(std::exchange(error, nullptr));
    for (auto& random : others_noise_) random.Ratchet();
  }

  void AddSlice(std::span<const float> weights,
                std::span<const std::uint32_t> rows,
                const model::Clipping& clipping, std::span<float> sum,
                PhaseSeconds& phases, model::ClippedSumStatistics& seen) {
    const auto begin = Clock::now();
    const auto width = static_cast<std::size_t>(shard_.features());
    const auto features = std::span(features_).first(rows.size() * width);
    const auto labels = std::span(labels_).first(rows.size());
    workers_->Share(rows.size(), kGatheredRows,
                    [&](int, std::size_t first, std::size_t count) {
                      shard_.Gather(
                          rows.subspan(first, count),
                          features.subspan(first * width, count * width),
                          labels.subspan(first, count));
                    });
    phases.load += SecondsSince(begin);
    const auto loaded = Clock::now();
    seen += network_->AddClippedSum(
        weights, {static_cast<int>(rows.size()), features, labels}, clipping,
        sum);
    phases.forward_backward += SecondsSince(loaded);
  }

  const std::unique_ptr<model::Network> network_;
  const model::Shard& shard_;
  const std::shared_ptr<model::Workers> workers_;
  std::vector<dp::SecureRandom> others_noise_;  // of each worker but the first
  std::vector<std::exception_ptr> failed_;      // of each worker
  std::vector<float> features_;
  std::vector<float> labels_;
};

class DeviceSum final : public PrivateSum {
 public:
  DeviceSum(std::unique_ptr<model::DeviceStep> step, DeviceNoise kind)
      : step_(std::move(step)), kind_(kind) {}

  model::ClippedSumStatistics Compute(std::span<const float> weights,
                                      std::span<const std::uint32_t> rows,
                                      const PrivateSumTerms& terms,
                                      dp::SecureRandom& noise,
                                      std::span<float> gradient,
                                      PhaseSeconds& phases) override {
    const auto begin = Clock::now();
    const auto device_terms = TermsOf(terms);
    model::NoiseKey key{};
    noise.Fill(std::as_writable_bytes(std::span(key)));
    step_->SetWeights(weights);
    step_->Begin(rows, key, device_terms);
    OPENSSL_cleanse(key.data(), sizeof key);
    step_->GetGradient(gradient);
    const auto seen = step_->TakeStatistics();
    phases.forward_backward += SecondsSince(begin);
    return seen;
  }

 private:
  model::DeviceStepTerms TermsOf(const PrivateSumTerms& terms) const {
    model::DeviceStepTerms of{.clip_norm = terms.clip_norm,
                              .noise_stddev = terms.noise_stddev,
                              .scale = terms.scale,
                              .learning_rate = 0};
    if (kind_ == DeviceNoise::kGaussian) return of;
    const auto grid = dp::GridTermsFor(terms.clip_norm, terms.noise_multiplier);
    of.noise_stddev = 0;
    of.grid = {.reach = grid.reach,
               .log_sigma = grid.log_sigma,
               .margin = dp::kGridMargin};
    return of;
  }

  const std::unique_ptr<model::DeviceStep> step_;
  const DeviceNoise kind_;
};

}  // namespace

std::unique_ptr<PrivateSum> MakeHostSum(
    std::unique_ptr<model::Network> network, const model::Shard& shard,
    int physical_batch, std::shared_ptr<model::Workers> workers) {
  return std::make_unique<HostSum>(std::move(network), shard, physical_batch,
                                   std::move(workers));
}

std::unique_ptr<PrivateSum> MakeDeviceSum(
    std::unique_ptr<model::DeviceStep> step, DeviceNoise kind) {
  return std::make_unique<DeviceSum>(std::move(step), kind);
}

}  // namespace hearsay::daemon
