// The CPU back end of model/network.h: the passes over a chain of layers
// (model/cpu/layers), on one thread.
//
// Everything a call needs lies in one arena, cut up at construction.
// Shapes: B examples, I inputs, P parameters.
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
      parameters_(TrainedCount(spec, frozen.layers)),
      checks_features_(frozen.Has(0) ||
                       !std::holds_alternative<Dense>(spec.layers[0].kind)),
      chain_(spec.layers, Shapes(spec)[0], {0, masks_}, frozen),
      squared_norms_(static_cast<std::size_t>(max_batch)),
      layer_squares_(chain_.parts() * squared_norms_.size()),
      clipped_(squared_norms_.size()) {
  scratch_ = Arena(CutScratch(nullptr));
  CutScratch(scratch_.span().data());
  cpu::UseOneThread();
}

std::size_t CpuNetwork::CutScratch(float* base) {
  cpu::Cutter cutter(base);
  const auto rows = static_cast<std::size_t>(max_batch_);
  losses_ = cutter.Take(rows);
  factors_ = cutter.Take(rows);
  features_ = cutter.Take(rows * static_cast<std::size_t>(inputs_));
  chain_.Cut(cutter, max_batch_);
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
  const int count = batch.count;
  const auto rows = static_cast<std::size_t>(count);
  const float* features = batch.features.data();
  Backward(weights, batch);

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
  Backward(weights, batch);
  chain_.AddClippedGradient(batch.count, batch.features.data(), nullptr,
                            sum.data());
  return std::accumulate(losses_, losses_ + batch.count, 0.0);
}

void CpuNetwork::GradientNorms(std::span<const float> weights,
                               const Batch& batch, std::span<float> norms) {
  Require(weights, batch);
  assert(norms.size() == static_cast<std::size_t>(batch.count));
  Backward(weights, batch);
  SquaredNorms(batch.count, batch.features.data());
  for (std::size_t b = 0; b < norms.size(); ++b) {
    // NaN cannot come out of SquaredNorms: each addend is finite or infinite.
    norms[b] = static_cast<float>(std::sqrt(squared_norms_[b]));
  }
}

void CpuNetwork::Predict(std::span<const float> weights, int count,
                         std::span<const float> features,
                         std::span<float> outputs) {
  assert(weights.size() == parameters_);
  assert(count >= 0 && count <= max_batch_);
  const auto rows = static_cast<std::size_t>(count);
  assert(features.size() == rows * static_cast<std::size_t>(inputs_));
  assert(outputs.size() == rows * static_cast<std::size_t>(outputs_));
  masks_.Evaluate();
  chain_.Forward(weights.data(), count, features.data());
  std::copy_n(chain_.last().out(), outputs.size(), outputs.data());
}

Evaluation CpuNetwork::Evaluate(std::span<const float> weights,
                                const Batch& batch) {
  Require(weights, batch);
  const int count = batch.count;
  masks_.Evaluate();
  chain_.Forward(weights.data(), count, batch.features.data());
  Losses(batch);
  return {.loss_sum = std::accumulate(losses_, losses_ + count, 0.0),
          .correct = cpu::CountCorrect(
              loss_, count, outputs_, chain_.last().out(), batch.labels.data()),
          .count = count};
}

}  // namespace

std::unique_ptr<Network> MakeCpuNetwork(const ModelSpec& spec, int max_batch,
                                        const Frozen& frozen) {
  Validate(spec);
  ValidateFrozen(spec, frozen.layers);
  assert(frozen.values.size() ==
         ParameterCount(spec) - TrainedCount(spec, frozen.layers));
  if (max_batch < 1)
    throw std::invalid_argument(fmt::format(
        "a network needs room for 1 or more examples, not {}", max_batch));
  return std::make_unique<CpuNetwork>(spec, max_batch, frozen);
}

}  // namespace hearsay::model
