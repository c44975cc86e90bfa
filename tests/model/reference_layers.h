// Every layer on one example, in double: textbook loops, each output by its
// definition. They share no code with the back ends.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "model/layer_rules.h"
#include "tests/model/chacha20.h"

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

// Which masks dropout has: of an example, by its number in the step.
struct ReferenceMasks {
  std::array<std::uint32_t, 8> key;
  std::uint32_t example = 0;
  std::uint32_t stream = 0;  // of the next dropout layer
};

// `weight` hands out the parameters in the order of the arena. Without `masks`
// it is an evaluation.
struct ReferenceLayer {
  const Shape& in;
  const Shape& out;
  const double*& weight;
  const Vector& values;
  ReferenceMasks* masks;

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
    const auto units = static_cast<std::size_t>(layer.units);
    const auto d = static_cast<std::size_t>(in.back());
    Vector next;
    for (std::size_t place = 0; place < values.size(); place += d)
      for (std::size_t u = 0; u < units; ++u) {
        double z = weight[units * d + u];
        for (std::size_t i = 0; i < d; ++i)
          z += weight[u * d + i] * values[place + i];
        next.push_back(ReferenceActivation(layer.activation, z));
      }
    weight += units * d + units;
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

  // (x - mean) / sqrt(variance + epsilon) of n values from `first`.
  void Normalise(std::size_t first, std::size_t n, Vector& next) const {
    double mean = 0;
    double variance = 0;
    for (std::size_t i = first; i < first + n; ++i) mean += values[i];
    mean /= static_cast<double>(n);
    for (std::size_t i = first; i < first + n; ++i)
      variance += (values[i] - mean) * (values[i] - mean);
    variance /= static_cast<double>(n);
    for (std::size_t i = first; i < first + n; ++i)
      next[i] = (values[i] - mean) / std::sqrt(variance + 1e-5);
  }
  Vector operator()(const LayerNorm&) const {
    const auto d = static_cast<std::size_t>(in.back());
    Vector next(values.size());
    for (std::size_t first = 0; first < values.size(); first += d)
      Normalise(first, d, next);
    for (std::size_t i = 0; i < next.size(); ++i)
      next[i] = next[i] * weight[i % d] + weight[d + i % d];
    weight += 2 * d;
    return next;
  }
  Vector operator()(const GroupNorm& layer) const {
    const auto channels = static_cast<std::size_t>(in[0]);
    const std::size_t of_channel = values.size() / channels;
    const std::size_t run =
        values.size() / static_cast<std::size_t>(layer.groups);
    Vector next(values.size());
    for (std::size_t first = 0; first < values.size(); first += run)
      Normalise(first, run, next);
    for (std::size_t i = 0; i < next.size(); ++i)
      next[i] =
          next[i] * weight[i / of_channel] + weight[channels + i / of_channel];
    weight += 2 * channels;
    return next;
  }
  Vector operator()(const Dropout& layer) const {
    if (masks == nullptr) return values;
    Vector next = values;
    const std::uint32_t stream = masks->stream++;
    for (std::size_t i = 0; i < next.size(); ++i) {
      const auto block =
          ReferenceChaCha20(masks->key, static_cast<std::uint32_t>(i / 16),
                            {stream, masks->example, 0});
      next[i] *= block[i % 16] < layer.rate * 0x1p32 ? 0 : 1 / (1 - layer.rate);
    }
    return next;
  }
  Vector operator()(const Embedding& layer) const {
    Vector next;
    const auto units = static_cast<std::size_t>(layer.units);
    for (const double code : values)
      for (std::size_t i = 0; i < units; ++i)
        next.push_back(weight[static_cast<std::size_t>(code) * units + i]);
    weight += static_cast<std::size_t>(layer.vocabulary) * units;
    return next;
  }
  Vector operator()(const TableEmbedding& layer) const {
    Vector next;
    const auto units = static_cast<std::size_t>(layer.units);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto categories = static_cast<std::size_t>(layer.categories[i]);
      if (categories == 0) next.push_back(values[i]);
      for (std::size_t u = 0; categories > 0 && u < units; ++u)
        next.push_back(weight[static_cast<std::size_t>(values[i]) * units + u]);
      weight += categories * units;
    }
    return next;
  }
  Vector operator()(const PositionEmbedding&) const {
    Vector next = values;
    for (double& value : next) value += *weight++;
    return next;
  }
  Vector operator()(const SequenceMean&) const {
    Vector next(static_cast<std::size_t>(in[1]));
    for (std::size_t i = 0; i < values.size(); ++i)
      next[i % next.size()] += values[i] / in[0];
    return next;
  }
  Vector operator()(const Attention& layer) const;
  Vector operator()(const Residual& layer) const;
};

// Vaswani et al. 2017 (arXiv:1706.03762), 3.2, place by place.
inline Vector ReferenceLayer::operator()(const Attention& layer) const {
  const auto T = static_cast<std::size_t>(in[0]);
  const auto d = static_cast<std::size_t>(in[1]);
  const std::size_t of_head = d / static_cast<std::size_t>(layer.heads);
  // Row i of a weight (rows, d) and its bias, on place t of `from`.
  const auto project = [&](const double* matrix, const double* bias,
                           std::size_t i, const Vector& from, std::size_t t) {
    double sum = bias[i];
    for (std::size_t j = 0; j < d; ++j)
      sum += matrix[i * d + j] * from[t * d + j];
    return sum;
  };
  const double* const in_bias = weight + 3 * d * d;
  const double* const out_weight = in_bias + 3 * d;
  const double* const out_bias = out_weight + d * d;
  Vector mixed(T * d);
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t first = 0; first < d; first += of_head) {
      Vector share(layer.mask == Mask::kCausal ? t + 1 : T);
      double sum = 0;
      for (std::size_t s = 0; s < share.size(); ++s) {
        double score = 0;
        for (std::size_t i = first; i < first + of_head; ++i)
          score += project(weight, in_bias, i, values, t) *
                   project(weight, in_bias, d + i, values, s);
        share[s] = std::exp(score / std::sqrt(static_cast<double>(of_head)));
        sum += share[s];
      }
      for (std::size_t s = 0; s < share.size(); ++s)
        for (std::size_t i = first; i < first + of_head; ++i)
          mixed[t * d + i] +=
              share[s] / sum * project(weight, in_bias, 2 * d + i, values, s);
    }
  Vector next(T * d);
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t i = 0; i < d; ++i)
      next[t * d + i] = project(out_weight, out_bias, i, mixed, t);
  weight = out_bias + d;
  return next;
}

inline Vector ReferenceList(const std::vector<Layer>& layers, const Shape& in,
                            const double*& weight, Vector values,
                            ReferenceMasks* masks) {
  const std::vector<Shape> shapes = ShapesAlong(layers, in);
  for (std::size_t l = 0; l < layers.size(); ++l)
    values = std::visit(
        ReferenceLayer{shapes[l], shapes[l + 1], weight, values, masks},
        layers[l].kind);
  return values;
}

inline Vector ReferenceLayer::operator()(const Residual& layer) const {
  Vector next = ReferenceList(layer.body, in, weight, values, masks);
  Vector beside = values;
  if (layer.projection != Extent{0, 0})
    beside = (*this)(Conv2d{
        .filters = out[0], .kernel = {1, 1}, .stride = layer.projection});
  for (std::size_t i = 0; i < next.size(); ++i) next[i] += beside[i];
  return next;
}

}  // namespace hearsay::model
