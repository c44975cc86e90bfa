// The CPU back end of model/network.h: the passes over the layers
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
#include "model/cpu/layers/layer.h"
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
  const float* InputOf(std::size_t layer, const float* features) const {
    return layer == 0 ? features : layers_[layer - 1]->out();
  }

  const float* WeightsOf(std::size_t layer, const float* weights) const {
    return frozen_[layer] ? constants_.data() : weights;
  }

  // The passes, each of which needs the ones before it.
  void Forward(const float* weights, int B, const float* features);
  void Losses(const Batch& batch);
  void Backward(const float* weights, int B, const float* features);
  void RejectUnusable(int B, const float* features);
  void SquaredNorms(int B, const float* features);
  // Returns the features to use in their stead.
  const float* ZeroRejectedRows(int B, const float* features);
  void AddGradients(int B, const float* features, const float* factors,
                    std::span<float> sum);
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
  std::vector<std::unique_ptr<cpu::Layer>> layers_;
  const std::vector<float> constants_;  // of the frozen layers
  std::vector<bool> frozen_;            // by entry of layers_
  std::size_t lowest_ = 0;  // of layers_ that is trained: none below has a use
                            // for gradients
  // A first layer with parameters looks at its inputs itself; another one, such
  // as a relu, could turn an infinite one into an ordinary value.
  bool checks_features_ = false;

  Arena scratch_;
  float* losses_ = nullptr;    // (B)
  float* factors_ = nullptr;   // (B); before clipping, scratch of the loss
  float* features_ = nullptr;  // (B, I), used only when rows must be zeroed
  std::vector<double> squared_norms_;  // (B)
  // Of clipping by layer: which of layers_ have parameters, and for each of
  // those its own norms. (L, B)
  std::vector<std::size_t> with_parameters_;
  std::vector<double> layer_squares_;
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
      constants_(frozen.values),
      squared_norms_(static_cast<std::size_t>(max_batch)) {
  const std::vector<Shape> shapes = Shapes(spec);
  std::size_t trained = 0, constant = 0;
  bool found = false;
  for (std::size_t l = 0; l < spec.layers.size(); ++l) {
    const bool is_frozen = frozen.Has(l);
    std::size_t& next = is_frozen ? constant : trained;
    const auto parameters = ParametersOf(spec.layers[l], shapes[l]);
    if (auto layer = cpu::MakeLayer(spec.layers[l], shapes[l], next)) {
      if (layers_.empty()) checks_features_ = is_frozen || parameters.empty();
      if (!found) lowest_ = layers_.size();
      found = found || (!is_frozen && !parameters.empty());
      if (!is_frozen && !parameters.empty())
        with_parameters_.push_back(layers_.size());
      layers_.push_back(std::move(layer));
      frozen_.push_back(is_frozen);
    }
    for (const Parameter& parameter : parameters) next += parameter.size();
  }
  clipped_.resize(squared_norms_.size());
  layer_squares_.resize(with_parameters_.size() * squared_norms_.size());
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
  for (auto& layer : layers_) layer->Cut(cutter, max_batch_);
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

void CpuNetwork::Forward(const float* weights, int B, const float* features) {
  for (std::size_t l = 0; l < layers_.size(); ++l)
    layers_[l]->Forward(WeightsOf(l, weights), B, InputOf(l, features));
}

void CpuNetwork::Losses(const Batch& batch) {
  const cpu::Layer& last = *layers_.back();
  cpu::LossGradients(
      loss_, batch.count, outputs_, last.out(), batch.labels.data(),
      {.losses = losses_, .grad = last.grad(), .scratch = factors_});
}

void CpuNetwork::Backward(const float* weights, int B, const float* features) {
  for (std::size_t l = layers_.size(); l-- > lowest_;)
    layers_[l]->Backward(WeightsOf(l, weights), B, InputOf(l, features),
                         l > lowest_ ? layers_[l - 1]->grad() : nullptr);
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
  for (std::size_t l = lowest_; l < layers_.size(); ++l)
    if (!frozen_[l])
      layers_[l]->AddSquaredNorms(B, InputOf(l, features),
                                  squared_norms_.data());
}

cpu::ClipCount CpuNetwork::AddByLayer(int B, const float* features,
                                      double clip_norm, std::span<float> sum) {
  const auto rows = static_cast<std::size_t>(B);
  const auto squares_of = [&](std::size_t i) {
    return std::span(layer_squares_).subspan(i * squared_norms_.size(), rows);
  };
  RejectUnusable(B, features);
  for (std::size_t i = 0; i < with_parameters_.size(); ++i) {
    const std::size_t l = with_parameters_[i];
    const auto squares = squares_of(i);
    std::fill(squares.begin(), squares.end(), 0.0);
    layers_[l]->AddSquaredNorms(B, InputOf(l, features), squares.data());
    for (std::size_t b = 0; b < rows; ++b) squared_norms_[b] += squares[b];
  }
  cpu::ClipCount clip;
  const double share =
      clip_norm / std::sqrt(static_cast<double>(with_parameters_.size()));
  std::fill_n(clipped_.begin(), rows, 0);
  for (std::size_t i = 0; i < with_parameters_.size(); ++i) {
    const std::size_t l = with_parameters_[i];
    const auto squares = squares_of(i);
    // Who is rejected by one layer adds nothing to any.
    for (std::size_t b = 0; b < rows; ++b) {
      if (!std::isfinite(squared_norms_[b])) squares[b] = squared_norms_[b];
      if (std::isfinite(squares[b]) && squares[b] > share * share)
        clipped_[b] = 1;
    }
    clip.rejected = cpu::ClipFactors(share, squares, {factors_, rows}).rejected;
    if (i == 0 && clip.rejected > 0) features = ZeroRejectedRows(B, features);
    layers_[l]->AddClippedGradient(B, InputOf(l, features), factors_,
                                   sum.data());
  }
  clip.clipped = std::accumulate(clipped_.begin(), clipped_.begin() + B, 0);
  return clip;
}

const float* CpuNetwork::ZeroRejectedRows(int B, const float* features) {
  for (const auto& layer : layers_) layer->ZeroRejected(B, factors_);
  // The caller's features are const. This copy is rare, so it costs nothing.
  std::copy_n(features,
              static_cast<std::size_t>(B) * static_cast<std::size_t>(inputs_),
              features_);
  cpu::ZeroRowsWithoutFactor(B, inputs_, factors_, features_);
  return features_;
}

void CpuNetwork::AddGradients(int B, const float* features,
                              const float* factors, std::span<float> sum) {
  for (std::size_t l = lowest_; l < layers_.size(); ++l)
    if (!frozen_[l])
      layers_[l]->AddClippedGradient(B, InputOf(l, features), factors,
                                     sum.data());
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
  Forward(weights.data(), count, features);
  Losses(batch);
  Backward(weights.data(), count, batch.features.data());

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
    AddGradients(count, features, factors_, sum);
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
  const int count = batch.count;
  Forward(weights.data(), count, batch.features.data());
  Losses(batch);
  Backward(weights.data(), count, batch.features.data());
  AddGradients(count, batch.features.data(), nullptr, sum);
  return std::accumulate(losses_, losses_ + count, 0.0);
}

void CpuNetwork::GradientNorms(std::span<const float> weights,
                               const Batch& batch, std::span<float> norms) {
  Require(weights, batch);
  assert(norms.size() == static_cast<std::size_t>(batch.count));
  Forward(weights.data(), batch.count, batch.features.data());
  Losses(batch);
  Backward(weights.data(), batch.count, batch.features.data());
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
  Forward(weights.data(), count, features.data());
  std::copy_n(layers_.back()->out(), outputs.size(), outputs.data());
}

Evaluation CpuNetwork::Evaluate(std::span<const float> weights,
                                const Batch& batch) {
  Require(weights, batch);
  const int count = batch.count;
  Forward(weights.data(), count, batch.features.data());
  Losses(batch);
  return {
      .loss_sum = std::accumulate(losses_, losses_ + count, 0.0),
      .correct = cpu::CountCorrect(loss_, count, outputs_,
                                   layers_.back()->out(), batch.labels.data()),
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
