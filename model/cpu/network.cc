// The CPU back end of model/network.h: the passes over a chain of layers
// (model/cpu/layers), on one thread.
//
// Everything a call needs lies in one arena, cut up at construction. It is
// small enough to stay in a cache: a batch goes through all passes in slices,
// each of as many examples as fit. Shapes: B examples (of a slice), I inputs, P
// parameters.
#include "model/network.h"

#include <fmt/core.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "model/arena.h"
#include "model/cpu/clipping.h"
#include "model/cpu/cutter.h"
#include "model/cpu/gemm.h"
#include "model/cpu/layers/chain.h"
#include "model/cpu/losses.h"
#include "model/cpu/make.h"
#include "model/cpu/weight_gradient.h"
#include "model/layer_rules.h"

namespace hearsay::model {

namespace {

class CpuNetwork final : public Network {
 public:
  CpuNetwork(const ModelSpec& spec, int max_batch, const Frozen& frozen);

  ClippedSumStatistics AddClippedSum(std::span<const float> weights,
                                     const Batch& batch,
                                     const Clipping& clipping,
                                     std::span<float> sum) override;
  void BeginStep(const StepKey& key) override { masks_.Begin(key); }
  double AddSum(std::span<const float> weights, const Batch& batch,
                std::span<float> sum) override;
  void GradientNorms(std::span<const float> weights, const Batch& batch,
                     std::span<float> norms) override;
  void Predict(std::span<const float> weights, int count,
               std::span<const float> features,
               std::span<float> outputs) override;
  Evaluation Evaluate(std::span<const float> weights,
                      const Batch& batch) override;

 private:
  std::size_t CutScratch(float* base);
  // Of up to max_batch_ examples.
  int SliceThatFits();
  // Calls each(slice) for all of the batch.
  template <typename Each>
  void InSlices(const Batch& batch, const Each& each) const;
  ClippedSumStatistics AddClippedSumOfSlice(std::span<const float> weights,
                                            const Batch& slice,
                                            const Clipping& clipping,
                                            std::span<float> sum);
  void Require(std::span<const float> weights, const Batch& batch) const;
  void Train(int B);

  // The passes, each of which needs the ones before it.
  void Losses(const Batch& batch);
  void Backward(std::span<const float> weights, const Batch& batch);
  void RejectUnusable(int B, const float* features);
  void SquaredNorms(int B, const float* features);
  // Returns the features to use in their stead.
  const float* ZeroRejectedRows(int B, const float* features);
  // Clips and adds each layer's part by itself; needs Backward alone.
  cpu::ClipCount AddByLayer(int B, const float* features, double clip_norm,
                            std::span<float> sum);

  // Constant after construction.
  const Loss loss_;
  const int inputs_;
  const int outputs_;
  const int label_width_;
  const int max_batch_;
  int slice_;
  const std::size_t parameters_;
  // A dense layer looks at all its inputs itself, when it is trained; another
  // one, such as a relu, could turn an infinite one into an ordinary value.
  const bool checks_features_;
  cpu::Masks masks_;
  cpu::Chain chain_;

  Arena scratch_;
  float* losses_ = nullptr;    // (B)
  float* factors_ = nullptr;   // (B); before clipping, scratch of the loss
  float* features_ = nullptr;  // (B, I), used only when rows must be zeroed
  std::vector<double> squared_norms_;  // (B)
  std::vector<double> layer_squares_;  // of clipping by layer: (parts, B)
  std::vector<std::uint8_t> clipped_;  // (B)
};

CpuNetwork::CpuNetwork(const ModelSpec& spec, int max_batch,
                       const Frozen& frozen)
    : loss_(spec.loss),
      inputs_(spec.inputs),
      outputs_(Outputs(spec)),
      label_width_(LabelWidth(spec)),
      max_batch_(max_batch),
      slice_(max_batch),
      parameters_(TrainedCount(spec, frozen.layers)),
      checks_features_(frozen.Has(0) ||
                       !std::holds_alternative<Dense>(spec.layers[0].kind)),
      chain_(spec.layers, Shapes(spec)[0], {0, masks_}, frozen) {
  slice_ = SliceThatFits();
  const auto rows = static_cast<std::size_t>(slice_);
  squared_norms_.resize(rows);
  layer_squares_.resize(chain_.parts() * rows);
  clipped_.resize(rows);
  scratch_ = Arena(CutScratch(nullptr));
  CutScratch(scratch_.span().data());
  cpu::UseOneThread();
}

// As many as make products worth their calls, and read less of weights than of
// themselves; beyond these, as a cache holds.
int CpuNetwork::SliceThatFits() {
  constexpr std::size_t kLeast = 16;
  constexpr std::size_t kCache = (3 << 20) / sizeof(float);
  const auto all = static_cast<std::size_t>(max_batch_);
  const std::size_t one = CutScratch(nullptr) / all;
  const std::size_t fits = std::max(kCache, 4 * parameters_) / one;
  return static_cast<int>(std::min(std::max(fits, kLeast), all));
}

template <typename Each>
void CpuNetwork::InSlices(const Batch& batch, const Each& each) const {
  const auto width = static_cast<std::size_t>(inputs_);
  const auto label_width = static_cast<std::size_t>(label_width_);
  for (int first = 0; first < batch.count; first += slice_) {
    const int count = std::min(slice_, batch.count - first);
    const auto at = static_cast<std::size_t>(first);
    const auto rows = static_cast<std::size_t>(count);
    Batch slice{.count = count,
                .features = batch.features.subspan(at * width, rows * width),
                .labels = {}};
    if (!batch.labels.empty())
      slice.labels = batch.labels.subspan(at * label_width, rows * label_width);
    each(at, slice);
  }
}

std::size_t CpuNetwork::CutScratch(float* base) {
  cpu::Cutter cutter(base);
  const auto rows = static_cast<std::size_t>(slice_);
  losses_ = cutter.Take(rows);
  factors_ = cutter.Take(rows);
  features_ = cutter.Take(rows * static_cast<std::size_t>(inputs_));
  chain_.Cut(cutter, slice_);
  return cutter.used();
}

void CpuNetwork::Require(std::span<const float> weights,
                         const Batch& batch) const {
  assert(weights.size() == parameters_);
  assert(batch.count >= 0 && batch.count <= max_batch_);
  const auto rows = static_cast<std::size_t>(batch.count);
  assert(batch.features.size() == rows * static_cast<std::size_t>(inputs_));
  assert(batch.labels.size() == rows * static_cast<std::size_t>(label_width_));
  assert(
      cpu::LabelsInRange(loss_, batch.count, outputs_, batch.labels.data()) &&
      "a label that is no class of this model");
}

void CpuNetwork::Train(int B) {
  assert((!masks_.needed() || masks_.begun()) && "dropout needs BeginStep");
  masks_.Train(B);
}

void CpuNetwork::Losses(const Batch& batch) {
  const cpu::Layer& last = chain_.last();
  cpu::LossGradients(
      loss_, batch.count, outputs_, last.out(), batch.labels.data(),
      {.losses = losses_, .grad = last.grad(), .scratch = factors_});
}

// And all before it.
void CpuNetwork::Backward(std::span<const float> weights, const Batch& batch) {
  Train(batch.count);
  const float* const features = batch.features.data();
  chain_.Forward(weights.data(), batch.count, features);
  Losses(batch);
  chain_.Backward(weights.data(), batch.count, features, nullptr);
}

void CpuNetwork::RejectUnusable(int B, const float* features) {
  // A loss that is not finite rejects its example, whatever its gradient.
  for (int b = 0; b < B; ++b)
    squared_norms_[static_cast<std::size_t>(b)] =
        losses_[b] - losses_[b] == 0 ? 0
                                     : std::numeric_limits<double>::infinity();
  const auto width = static_cast<std::size_t>(inputs_);
  for (int b = 0; checks_features_ && b < B; ++b) {
    const double squared = cpu::SquaredLength(
        width, features + static_cast<std::size_t>(b) * width);
    if (!std::isfinite(squared))
      squared_norms_[static_cast<std::size_t>(b)] =
          std::numeric_limits<double>::infinity();
  }
}

void CpuNetwork::SquaredNorms(int B, const float* features) {
  RejectUnusable(B, features);
  chain_.AddSquaredNorms(B, features, squared_norms_.data());
}

cpu::ClipCount CpuNetwork::AddByLayer(int B, const float* features,
                                      double clip_norm, std::span<float> sum) {
  const auto rows = static_cast<std::size_t>(B);
  const auto squares_of = [&](std::size_t part) {
    return std::span(layer_squares_)
        .subspan(part * squared_norms_.size(), rows);
  };
  RejectUnusable(B, features);
  for (std::size_t part = 0; part < chain_.parts(); ++part) {
    const auto squares = squares_of(part);
    std::fill(squares.begin(), squares.end(), 0.0);
    chain_.AddSquaredNormsOf(part, B, features, squares.data());
    for (std::size_t b = 0; b < rows; ++b) squared_norms_[b] += squares[b];
  }
  cpu::ClipCount clip;
  const double share =
      clip_norm / std::sqrt(static_cast<double>(chain_.parts()));
  std::fill_n(clipped_.begin(), rows, 0);
  for (std::size_t part = 0; part < chain_.parts(); ++part) {
    const auto squares = squares_of(part);
    // Who is rejected by one layer adds nothing to any.
    for (std::size_t b = 0; b < rows; ++b) {
      if (!std::isfinite(squared_norms_[b])) squares[b] = squared_norms_[b];
      if (std::isfinite(squares[b]) && squares[b] > share * share)
        clipped_[b] = 1;
    }
    clip.rejected = cpu::ClipFactors(share, squares, {factors_, rows}).rejected;
    if (part == 0 && clip.rejected > 0)
      features = ZeroRejectedRows(B, features);
    chain_.AddClippedGradientOf(part, B, features, factors_, sum.data());
  }
  clip.clipped = std::accumulate(clipped_.begin(), clipped_.begin() + B, 0);
  return clip;
}

const float* CpuNetwork::ZeroRejectedRows(int B, const float* features) {
  chain_.ZeroRejected(B, factors_);
  // The caller's features are const. This copy is rare, so it costs nothing.
  std::copy_n(features,
              static_cast<std::size_t>(B) * static_cast<std::size_t>(inputs_),
              features_);
  cpu::ZeroRowsWithoutFactor(B, inputs_, factors_, features_);
  return features_;
}

ClippedSumStatistics CpuNetwork::AddClippedSum(std::span<const float> weights,
                                               const Batch& batch,
                                               const Clipping& clipping,
                                               std::span<float> sum) {
  Require(weights, batch);
  assert(clipping.norm > 0 && sum.size() == parameters_);
  ClippedSumStatistics all;
  InSlices(batch, [&](std::size_t, const Batch& slice) {
    all += AddClippedSumOfSlice(weights, slice, clipping, sum);
  });
  return all;
}

ClippedSumStatistics CpuNetwork::AddClippedSumOfSlice(
    std::span<const float> weights, const Batch& slice,
    const Clipping& clipping, std::span<float> sum) {
  const int count = slice.count;
  const auto rows = static_cast<std::size_t>(count);
  const float* features = slice.features.data();
  Backward(weights, slice);

  cpu::ClipCount clip;
  if (clipping.kind == Clipping::Kind::kPerLayer) {
    clip = AddByLayer(count, features, clipping.norm, sum);
  } else {
    SquaredNorms(count, features);
    const auto factors_of = clipping.kind == Clipping::Kind::kAutomatic
                                ? cpu::AutomaticFactors
                                : cpu::ClipFactors;
    clip = factors_of(clipping.norm, {squared_norms_.data(), rows},
                      {factors_, rows});
    if (clip.rejected > 0) features = ZeroRejectedRows(count, features);
    chain_.AddClippedGradient(count, features, factors_, sum.data());
  }

  ClippedSumStatistics statistics{.clipped = clip.clipped,
                                  .rejected = clip.rejected};
  for (std::size_t b = 0; b < rows; ++b)
    if (squared_norms_[b] < std::numeric_limits<double>::infinity()) {
      statistics.loss_sum += losses_[b];
      statistics.bounded_loss_sum +=
          std::clamp(double{losses_[b]}, 0.0, clipping.loss_bound);
    }
  return statistics;
}

double CpuNetwork::AddSum(std::span<const float> weights, const Batch& batch,
                          std::span<float> sum) {
  Require(weights, batch);
  assert(sum.size() == parameters_);
  double loss = 0;
  InSlices(batch, [&](std::size_t, const Batch& slice) {
    Backward(weights, slice);
    chain_.AddClippedGradient(slice.count, slice.features.data(), nullptr,
                              sum.data());
    loss += std::accumulate(losses_, losses_ + slice.count, 0.0);
  });
  return loss;
}

void CpuNetwork::GradientNorms(std::span<const float> weights,
                               const Batch& batch, std::span<float> norms) {
  Require(weights, batch);
  assert(norms.size() == static_cast<std::size_t>(batch.count));
  InSlices(batch, [&](std::size_t first, const Batch& slice) {
    Backward(weights, slice);
    SquaredNorms(slice.count, slice.features.data());
    // NaN cannot come out of SquaredNorms: each addend is finite or infinite.
    for (std::size_t b = 0; b < static_cast<std::size_t>(slice.count); ++b)
      norms[first + b] = static_cast<float>(std::sqrt(squared_norms_[b]));
  });
}

void CpuNetwork::Predict(std::span<const float> weights, int count,
                         std::span<const float> features,
                         std::span<float> outputs) {
  assert(weights.size() == parameters_);
  assert(count >= 0 && count <= max_batch_);
  const auto rows = static_cast<std::size_t>(count);
  const auto width = static_cast<std::size_t>(outputs_);
  assert(features.size() == rows * static_cast<std::size_t>(inputs_));
  assert(outputs.size() == rows * width);
  masks_.Evaluate();
  InSlices({count, features, {}}, [&](std::size_t first, const Batch& slice) {
    chain_.Forward(weights.data(), slice.count, slice.features.data());
    std::copy_n(chain_.last().out(),
                static_cast<std::size_t>(slice.count) * width,
                outputs.data() + first * width);
  });
}

Evaluation CpuNetwork::Evaluate(std::span<const float> weights,
                                const Batch& batch) {
  Require(weights, batch);
  masks_.Evaluate();
  Evaluation all{.count = batch.count};
  InSlices(batch, [&](std::size_t, const Batch& slice) {
    chain_.Forward(weights.data(), slice.count, slice.features.data());
    Losses(slice);
    all.loss_sum += std::accumulate(losses_, losses_ + slice.count, 0.0);
    all.correct += cpu::CountCorrect(loss_, slice.count, outputs_,
                                     chain_.last().out(), slice.labels.data());
  });
  return all;
}

}  // namespace

std::unique_ptr<Network> cpu::MakeNetwork(const ModelSpec& spec, int max_batch,
                                          const Frozen& frozen) {
  return std::make_unique<CpuNetwork>(spec, max_batch, frozen);
}

std::unique_ptr<Network> MakeCpuNetwork(
    const ModelSpec& spec, int max_batch, const Frozen& frozen,
    const std::shared_ptr<Workers>& workers) {
  Validate(spec);
  ValidateFrozen(spec, frozen.layers);
  assert(frozen.values.size() ==
         ParameterCount(spec) - TrainedCount(spec, frozen.layers));
  if (max_batch < 1)
    throw std::invalid_argument(fmt::format(
        "a network needs room for 1 or more examples, not {}", max_batch));
  return workers == nullptr || workers->count() == 1
             ? cpu::MakeNetwork(spec, max_batch, frozen)
             : cpu::MakeThreadedNetwork(spec, max_batch, frozen, workers);
}

}  // namespace hearsay::model
