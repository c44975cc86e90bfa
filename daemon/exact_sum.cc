#include "daemon/exact_sum.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "dp/grid_sum.h"

namespace hearsay::daemon {
namespace {

class ExactSum final : public PrivateSum {
 public:
  ExactSum(std::unique_ptr<model::Network> network, const model::Shard& shard,
           std::size_t parameters)
      : network_(std::move(network)),
        shard_(shard),
        features_(static_cast<std::size_t>(shard.features())),
        gradient_(parameters) {}

  model::ClippedSumStatistics Compute(std::span<const float> weights,
                                      std::span<const std::uint32_t> rows,
                                      const PrivateSumTerms& terms,
                                      dp::SecureRandom& noise,
                                      std::span<float> gradient,
                                      PhaseSeconds& phases) override {
    dp::GridSum& grid = GridOf(terms);
    BeginStep(*network_, noise);
    model::ClippedSumStatistics seen;
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < rows.size(); ++i)
      AddRow(weights, rows.subspan(i, 1), grid, seen);
    phases.forward_backward += SecondsSince(begin);
    const auto summed = std::chrono::steady_clock::now();
    grid.AddNoise(noise);
    grid.TakeInto(terms.scale, gradient);
    phases.clip_noise += SecondsSince(summed);
    return seen;
  }

 private:
  dp::GridSum& GridOf(const PrivateSumTerms& terms) {
    if (!grid_ || terms.clip_norm != clip_norm_ ||
        terms.noise_multiplier != noise_multiplier_) {
      grid_.emplace(gradient_.size(), terms.clip_norm, terms.noise_multiplier);
      clip_norm_ = terms.clip_norm;
      noise_multiplier_ = terms.noise_multiplier;
    }
    return *grid_;
  }

  void AddRow(std::span<const float> weights,
              std::span<const std::uint32_t> row, dp::GridSum& grid,
              model::ClippedSumStatistics& seen) {
    float label = 0;
    shard_.Gather(row, features_, {&label, 1});
    std::fill(gradient_.begin(), gradient_.end(), 0.0F);
    const double loss =
        network_->AddSum(weights, {1, features_, {&label, 1}}, gradient_);
    // As the fast sum: an example without a loss adds nothing.
    const auto fate = std::isfinite(loss) ? grid.Add(gradient_)
                                          : dp::GridSum::Fate::kRejected;
    if (fate == dp::GridSum::Fate::kRejected) {
      ++seen.rejected;
      return;
    }
    seen.loss_sum += loss;
    seen.clipped += fate == dp::GridSum::Fate::kClipped ? 1 : 0;
  }

  const std::unique_ptr<model::Network> network_;
  const model::Shard& shard_;
  std::vector<float> features_;
  std::vector<float> gradient_;  // of one row
  std::optional<dp::GridSum> grid_;
  double clip_norm_ = 0;
  double noise_multiplier_ = 0;
};

}  // namespace

std::unique_ptr<PrivateSum> MakeExactSum(
    std::unique_ptr<model::Network> network, const model::Shard& shard,
    std::size_t parameters) {
  return std::make_unique<ExactSum>(std::move(network), shard, parameters);
}

}  // namespace hearsay::daemon
