// The oracle of the network's tests: the loss of one example in double, written
// as in a textbook, and its gradient by central differences of that loss. It
// shares no code with the back ends, and knows no backward pass to get wrong.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "model/initialise.h"
#include "model/network.h"
#include "tests/model/reference_layers.h"

namespace hearsay::model {

inline Vector ReferenceOutputs(const ModelSpec& spec, const Vector& weights,
                               const Vector& features,
                               ReferenceMasks* masks = nullptr) {
  const double* weight = weights.data();
  return ReferenceList(spec.layers, Shapes(spec)[0], weight, features, masks);
}

inline double LossOfOutputs(Loss kind, const Vector& out, const Vector& label) {
  double loss = 0;
  switch (kind) {
    case Loss::kSoftmaxCrossEntropy: {
      double sum = 0;
      for (const double z : out) sum += std::exp(z);
      return std::log(sum) - out[static_cast<std::size_t>(label[0])];
    }
    case Loss::kBinaryCrossEntropy: {
      const double p = 1 / (1 + std::exp(-out[0]));
      return -(label[0] * std::log(p) + (1 - label[0]) * std::log(1 - p));
    }
    case Loss::kMse:
      for (std::size_t o = 0; o < out.size(); ++o)
        loss += (out[o] - label[o]) * (out[o] - label[o]);
      return loss / static_cast<double>(out.size());
  }
  return std::numeric_limits<double>::quiet_NaN();
}

inline double ReferenceLoss(const ModelSpec& spec, const Vector& weights,
                            const Vector& features, const Vector& label,
                            const ReferenceMasks* masks = nullptr) {
  ReferenceMasks drawn = masks == nullptr ? ReferenceMasks{} : *masks;
  const Vector out = ReferenceOutputs(spec, weights, features,
                                      masks == nullptr ? nullptr : &drawn);
  return LossOfOutputs(spec.loss, out, label);
}

// Error about 1e-9 for values around 1 (h^2 truncation plus rounding / h).
inline Vector ReferenceGradient(const ModelSpec& spec, Vector weights,
                                const Vector& features, const Vector& label,
                                const ReferenceMasks* masks = nullptr) {
  constexpr double kStep = 1e-5;
  Vector gradient(weights.size());
  for (std::size_t p = 0; p < weights.size(); ++p) {
    const double weight = weights[p];
    weights[p] = weight + kStep;
    const double above = ReferenceLoss(spec, weights, features, label, masks);
    weights[p] = weight - kStep;
    const double below = ReferenceLoss(spec, weights, features, label, masks);
    weights[p] = weight;
    gradient[p] = (above - below) / (2 * kStep);
  }
  return gradient;
}

inline double Norm(const Vector& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

// A model, weights and examples of ordinary sizes, from a seed.
struct Case {
  ModelSpec spec;
  int count = 0;
  std::vector<float> weights;
  std::vector<float> features;
  std::vector<float> labels;

  Case(const ModelSpec& of, int examples, unsigned seed)
      : spec(of), count(examples), weights(ParameterCount(of)) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal;
    std::array<std::uint8_t, 32> key{};
    key[0] = static_cast<std::uint8_t>(seed);
    Initialise(spec, key, weights);
    for (float& weight : weights)
      weight += 0.1f * normal(engine);  // and biases
    const auto rows = static_cast<std::size_t>(count);
    features.resize(rows * static_cast<std::size_t>(spec.inputs));
    for (float& feature : features) feature = normal(engine);
    if (const auto* table = std::get_if<Embedding>(&spec.layers[0].kind))
      for (float& feature : features)
        feature = static_cast<float>(engine() %
                                     static_cast<unsigned>(table->vocabulary));
    if (const auto* table = std::get_if<TableEmbedding>(&spec.layers[0].kind))
      for (std::size_t i = 0; i < features.size(); ++i)
        if (const int n = table->categories[i % table->categories.size()])
          features[i] = static_cast<float>(engine() % static_cast<unsigned>(n));
    labels.resize(rows * static_cast<std::size_t>(LabelWidth(spec)));
    const auto classes = static_cast<unsigned>(std::max(Outputs(spec), 2));
    for (float& label : labels)
      label = spec.loss == Loss::kMse ? normal(engine)
                                      : static_cast<float>(engine() % classes);
  }

  Batch batch() const { return Rows(0, count); }
  Batch Rows(int first, int rows) const {
    const auto at = static_cast<std::size_t>(first);
    const auto n = static_cast<std::size_t>(rows);
    const auto width = static_cast<std::size_t>(spec.inputs);
    const auto label_width = static_cast<std::size_t>(LabelWidth(spec));
    return {
        .count = rows,
        .features = std::span(features).subspan(at * width, n * width),
        .labels = std::span(labels).subspan(at * label_width, n * label_width)};
  }
  Vector Weights() const { return {weights.begin(), weights.end()}; }
  Vector Features(int b) const {
    const Batch row = Rows(b, 1);
    return {row.features.begin(), row.features.end()};
  }
  Vector Label(int b) const {
    const Batch row = Rows(b, 1);
    return {row.labels.begin(), row.labels.end()};
  }
  Vector Gradient(int b, const ReferenceMasks* masks = nullptr) const {
    return ReferenceGradient(spec, Weights(), Features(b), Label(b), masks);
  }
  double Loss(int b, const ReferenceMasks* masks = nullptr) const {
    return ReferenceLoss(spec, Weights(), Features(b), Label(b), masks);
  }
};

}  // namespace hearsay::model
