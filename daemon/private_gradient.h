// One differentially private step: sample, clip, sum, pay, add noise, divide by
// a public constant. The only place where private data is read for training.
//
// What may leave is only the gradient that Compute writes. What the step saw
// (loss, clip fraction, realised batch size) is kept apart, class private.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "daemon/budget.h"
#include "daemon/gradient_source.h"
#include "dp/random.h"
#include "dp/sampler.h"
#include "model/network.h"
#include "model/shard.h"

namespace hearsay::daemon {

struct PrivateStepTerms {
  double sample_rate = 0;
  double noise_multiplier = 0;
  double clip_norm = 1;
  std::int64_t public_size = 1;
  int physical_batch = 1024;
};

// Egress class of every field: private. Smoothed over about 50 steps.
struct PrivateView {
  double train_loss = 0;
  double clip_fraction = 0;
  double realised_batch_size = 0;
  std::uint64_t rejected = 0;
};

// Seconds spent in each part of the steps so far. Egress class: private, since
// the time of a step tells its realised batch size.
struct PhaseSeconds {
  double load = 0, forward_backward = 0, clip_noise = 0;
};

class PrivateGradient final : public GradientSource {
 public:
  // `shard` and `budget` must outlive this. The budget's terms must state this
  // sampler's effective rate.
  PrivateGradient(const PrivateStepTerms& terms,
                  std::unique_ptr<model::Network> network,
                  const model::Shard& shard, Budget& budget);

  Outcome Compute(std::span<const float> weights, std::uint64_t steps_wanted,
                  std::span<float> gradient) override;
  void Finish() override;

  // Threads: any.
  PrivateView view() const;
  PhaseSeconds phases() const;

 private:
  void AddSlice(std::span<const float> weights,
                std::span<const std::uint32_t> rows, std::span<float> sum,
                model::ClippedSumStatistics& seen);

  // Constant after construction.
  const PrivateStepTerms terms_;
  const model::Shard& shard_;

  // The trainer's.
  std::unique_ptr<model::Network> network_;
  Budget& budget_;
  dp::PoissonSampler sampler_;
  dp::SecureRandom sampling_random_;
  dp::SecureRandom noise_random_;
  std::vector<std::uint32_t> rows_;
  std::vector<float> features_;
  std::vector<float> labels_;

  mutable std::mutex mutex_;
  PrivateView view_;     // Guarded by mutex_.
  PhaseSeconds phases_;  // Guarded by mutex_.
};

}  // namespace hearsay::daemon
