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

namespace hearsay::model {

using Vector = std::vector<double>;

inline double ReferenceActivation(Activation activation, double z) {
  switch (activation) {
    case Activation::kNone:
      return z;
    case Activation::kRelu:
      return std::max(z, 0.0);
    case Activation::kTanh:
      return std::tanh(z);
    case Activation::kGelu:
      return z * 0.5 * std::erfc(-z / std::sqrt(2.0));
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-z));
  }
  return std::numeric_limits<double>::quiet_NaN();
}

// One layer on one example: textbook loops, each output by its definition.
// `weight` hands out the parameters in the order of the arena.
struct ReferenceLayer {
  const Shape& in;
  const Shape& out;
  const double*& weight;
  const Vector& values;

  double At(int c, int h, int w) const {
    return values[static_cast<std::size_t>((c * in[1] + h) * in[2] + w)];
  }
  bool Inside(int h, int w) const {
    return h >= 0 && h < in[1] && w >= 0 && w < in[2];
  }
  template <typename Value>
  Vector Image(const Value& value) const {
    Vector next;
    for (int c = 0; c < out[0]; ++c)
      for (int p = 0; p < out[1]; ++p)
        for (int q = 0; q < out[2]; ++q) next.push_back(value(c, p, q));
    return next;
  }

  Vector operator()(const Dense& layer) const {
    Vector next(static_cast<std::size_t>(layer.units));
    for (double& z : next)
      for (const double value : values) z += *weight++ * value;
    for (double& z : next)
      z = ReferenceActivation(layer.activation, z + *weight++);
    return next;
  }
  Vector operator()(const Conv2d& layer) const {
    const int of_group = in[0] / layer.groups;
    const auto& [height, width] = layer.kernel;
    const double* const bias =
        weight + layer.filters * of_group * height * width;
    const auto value = [&](int f, int p, int q) {
      double z = bias[f];
      const int group = f / (layer.filters / layer.groups);
      for (int c = 0; c < of_group; ++c)
        for (int i = 0; i < height; ++i)
          for (int j = 0; j < width; ++j) {
            const int h = p * layer.stride.height - layer.padding.height +
                          i * layer.dilation.height;
            const int w = q * layer.stride.width - layer.padding.width +
                          j * layer.dilation.width;
            if (Inside(h, w))
              z += weight[((f * of_group + c) * height + i) * width + j] *
                   At(group * of_group + c, h, w);
          }
      return z;
    };
    Vector next = Image(value);
    weight = bias + layer.filters;
    return next;
  }
  Vector operator()(const MaxPool2d& layer) const {
    return Image([&](int c, int p, int q) {
      double most = -std::numeric_limits<double>::infinity();
      for (int i = 0; i < layer.kernel.height; ++i)
        for (int j = 0; j < layer.kernel.width; ++j) {
          const int h = p * layer.stride.height - layer.padding.height + i;
          const int w = q * layer.stride.width - layer.padding.width + j;
          if (Inside(h, w)) most = std::max(most, At(c, h, w));
        }
      return most;
    });
  }
  Vector operator()(const AvgPool2d& layer) const {
    return Image([&](int c, int p, int q) {
      double sum = 0;
      for (int i = 0; i < layer.kernel.height; ++i)
        for (int j = 0; j < layer.kernel.width; ++j) {
          const int h = p * layer.stride.height - layer.padding.height + i;
          const int w = q * layer.stride.width - layer.padding.width + j;
          if (Inside(h, w)) sum += At(c, h, w);
        }
      return sum / (layer.kernel.height * layer.kernel.width);
    });
  }
  Vector operator()(const Flatten&) const { return values; }
  Vector operator()(const Activate& layer) const {
    Vector next = values;
    for (double& value : next)
      value = ReferenceActivation(layer.activation, value);
    return next;
  }
};

inline Vector ReferenceOutputs(const ModelSpec& spec, const Vector& weights,
                               Vector values) {
  const double* weight = weights.data();
  const std::vector<Shape> shapes = Shapes(spec);
  for (std::size_t l = 0; l < spec.layers.size(); ++l)
    values =
        std::visit(ReferenceLayer{shapes[l], shapes[l + 1], weight, values},
                   spec.layers[l].kind);
  return values;
}

inline double ReferenceLoss(const ModelSpec& spec, const Vector& weights,
                            const Vector& features, const Vector& label) {
  const Vector out = ReferenceOutputs(spec, weights, features);
  double loss = 0;
  switch (spec.loss) {
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

// Error about 1e-9 for values around 1 (h^2 truncation plus rounding / h).
inline Vector ReferenceGradient(const ModelSpec& spec, Vector weights,
                                const Vector& features, const Vector& label) {
  constexpr double kStep = 1e-5;
  Vector gradient(weights.size());
  for (std::size_t p = 0; p < weights.size(); ++p) {
    const double weight = weights[p];
    weights[p] = weight + kStep;
    const double above = ReferenceLoss(spec, weights, features, label);
    weights[p] = weight - kStep;
    const double below = ReferenceLoss(spec, weights, features, label);
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
  Vector Gradient(int b) const {
    return ReferenceGradient(spec, Weights(), Features(b), Label(b));
  }
  double Loss(int b) const {
    return ReferenceLoss(spec, Weights(), Features(b), Label(b));
  }
};

}  // namespace hearsay::model
