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
#include <optional>
#include <span>
#include <vector>

#include "daemon/budget.h"
#include "daemon/egress.h"
#include "daemon/gradient_source.h"
#include "daemon/private_sum.h"
#include "dp/adaptive_clip.h"
#include "dp/random.h"
#include "dp/sampler.h"

namespace hearsay::daemon {

struct PrivateStepTerms {
  double sample_rate = 0;
  double noise_multiplier = 0;
  double clip_norm = 1;
  std::int64_t public_size = 1;
  model::Clipping::Kind clipping = model::Clipping::Kind::kFlat;
  // The clip norm follows this quantile of the gradients' norms, from
  // clip_norm on (dp/adaptive_clip.h). Needs flat clipping and noise; the
  // sample rate may not change then.
  std::optional<double> clip_quantile = {};
  // Above 0: each step also releases, with noise, the sum of the losses of its
  // records, each up to this bound (see noised_loss). The gradient's noise is
  // then half a percent larger, so that both cost what the gradient did.
  double loss_bound = 0;
};

// Egress class of every field: private. Smoothed over about 50 steps.
struct PrivateView {
  Private<double> train_loss;
  Private<double> clip_fraction;
  Private<double> realised_batch_size;
  Private<std::uint64_t> rejected;
};

class PrivateGradient final : public GradientSource {
 public:
  // `budget` must outlive this; its terms must state this sampler's effective
  // rate. `rows`: of the shard that `sum` is over.
  // Throws: std::invalid_argument (as dp::AdaptiveClip).
  PrivateGradient(const PrivateStepTerms& terms,
                  std::unique_ptr<PrivateSum> sum, std::size_t rows,
                  Budget& budget);

  Outcome Compute(std::span<const float> weights, std::uint64_t steps_wanted,
                  std::span<float> gradient) override;
  void Finish() override;
  std::vector<State> Kept() const override;
  void Restore(std::span<const State> states) override;

  // From the next step on rows are sampled, and paid for, at `sample_rate`,
  // and their sum is divided by `divide` * public_size: both public. Both are
  // terms.sample_rate at first. Throws: dp::LedgerError. Threads: the
  // trainer's.
  void ChangeRates(double sample_rate, double divide);
  double sample_rate() const { return sampler_.sample_rate(); }
  std::int64_t public_size() const { return terms_.public_size; }
  // How many records a second steps of the rate in force make, by sums over as
  // many rows as such a step has by the public size. They are thrown away and
  // no batch is drawn, so the time tells nothing of any: egress public.
  // Throws: std::runtime_error. Threads: the trainer's.
  double MeasureSpeed(std::span<const float> weights);

  // Threads: any.
  PrivateView view() const;
  // Of the next step. Egress class: released, or public where it is constant.
  double clip_norm() const;
  Private<PhaseSeconds> phases() const;
  // The mean loss of a step, smoothed over about 50; nothing without a bound,
  // or before the first step. Egress class: released.
  std::optional<double> noised_loss() const;

 private:
  // Constant after construction.
  const PrivateStepTerms terms_;
  const std::size_t shard_rows_;

  // The trainer's.
  PrivateSumTerms SumTerms() const;
  void Adapt(const model::ClippedSumStatistics& seen);
  void ReleaseLoss(const PaidStep& paid, double bounded_sum);
  void Show(const model::ClippedSumStatistics& seen);

  std::unique_ptr<PrivateSum> sum_;
  Budget& budget_;
  dp::PoissonSampler sampler_;
  std::optional<dp::AdaptiveClip> adaptive_;
  double divide_;
  dp::SecureRandom sampling_random_;
  dp::SecureRandom noise_random_;
  std::vector<std::uint32_t> rows_;

  mutable std::mutex mutex_;
  PhaseSeconds working_;  // The trainer's own, before it is shown.
  struct Seen {
    double train_loss = 0, clip_fraction = 0, realised_batch_size = 0;
    std::uint64_t rejected = 0;
  };
  Seen seen_;                          // Guarded by mutex_.
  PhaseSeconds phases_;                // Guarded by mutex_.
  double clip_norm_;                   // Guarded by mutex_.
  std::optional<double> noised_loss_;  // Guarded by mutex_.
};

}  // namespace hearsay::daemon
