// The clipped sum of dense layers with every operand of a product rounded to
// bf16, as model/cuda/bf16.h says, and all else in double: an oracle that
// differs from the device by the order of sums alone, and where a value lies
// so near the middle of two of bf16 that the order decides.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "tests/model/reference.h"

namespace hearsay::model {

// To the nearest; of two as near, to the even one.
inline double RoundToBf16(double value) {
  const auto single = static_cast<float>(value);
  if (!std::isfinite(single)) return single;
  auto bits = std::bit_cast<std::uint32_t>(single);
  bits += 0x7fffU + (bits >> 16 & 1U);
  return std::bit_cast<float>(bits & 0xffff0000U);
}

inline double DenseDerivative(Activation activation, double z, double out) {
  switch (activation) {
    case Activation::kRelu:
      return out > 0 ? 1 : 0;
    case Activation::kTanh:
      return 1 - out * out;
    case Activation::kGelu:
      return 0.5 * (1 + std::erf(z / std::sqrt(2.0))) +
             z * std::exp(-0.5 * z * z) / std::sqrt(2 * 3.14159265358979324);
    case Activation::kNone:
    case Activation::kSigmoid:
      break;
  }
  return 1;
}

inline double DenseActivation(Activation activation, double z) {
  switch (activation) {
    case Activation::kRelu:
      return std::max(z, 0.0);
    case Activation::kTanh:
      return std::tanh(z);
    case Activation::kGelu:
      return 0.5 * z * (1 + std::erf(z / std::sqrt(2.0)));
    case Activation::kNone:
    case Activation::kSigmoid:
      break;
  }
  return z;
}

// Of the outputs.
inline Vector LossGradient(Loss loss, const Vector& out, const Vector& label) {
  Vector grad(out.size());
  double sum = 0;
  for (const double value : out) sum += std::exp(value);
  for (std::size_t o = 0; o < out.size(); ++o) switch (loss) {
      case Loss::kSoftmaxCrossEntropy:
        grad[o] = std::exp(out[o]) / sum -
                  (static_cast<double>(o) == label[0] ? 1 : 0);
        break;
      case Loss::kBinaryCrossEntropy:
        grad[o] = 1 / (1 + std::exp(-out[o])) - label[0];
        break;
      case Loss::kMse:
        grad[o] = 2 * (out[o] - label[o]) / static_cast<double>(out.size());
    }
  return grad;
}

struct RoundedSum {
  std::vector<float> gradient;
  double loss_sum = 0;
  int clipped = 0;
};

// Without rounding it is the sum in double, to see that this is right.
inline RoundedSum RoundedStep(const Case& shard,
                              std::span<const std::uint32_t> rows,
                              double clip_norm, double scale,
                              bool rounds = true) {
  const double margin = rounds ? 1 - 0x1p-8 : 1;
  const auto round = [&](double value) {
    return rounds ? RoundToBf16(value) : value;
  };
  const auto& layers = shard.spec.layers;
  const std::size_t L = layers.size();
  Vector weights = shard.Weights();
  for (double& weight : weights) weight = round(weight);
  Vector sum(weights.size());
  RoundedSum found;
  for (const auto row : rows) {
    std::vector<Vector> in(L + 1), z(L), grad(L);
    in[0] = shard.Features(static_cast<int>(row));
    for (double& value : in[0]) value = round(value);
    std::vector<std::size_t> at(L);
    std::size_t next = 0;
    for (std::size_t l = 0; l < L; ++l) {
      const auto units = static_cast<std::size_t>(layers[l].dense().units);
      const std::size_t inputs = in[l].size();
      at[l] = next;
      next += inputs * units + units;
      z[l].resize(units);
      in[l + 1].resize(units);
      for (std::size_t u = 0; u < units; ++u) {
        double value = shard.weights[at[l] + inputs * units + u];
        for (std::size_t i = 0; i < inputs; ++i)
          value += in[l][i] * weights[at[l] + u * inputs + i];
        z[l][u] = value;
        const double activated =
            DenseActivation(layers[l].dense().activation, value);
        in[l + 1][u] = l + 1 < L ? round(activated) : activated;
      }
    }
    const Vector& out = in[L];
    const Vector label = shard.Label(static_cast<int>(row));
    grad[L - 1] = LossGradient(shard.spec.loss, out, label);
    for (std::size_t l = L; l-- > 0;) {
      const bool last = l + 1 == L;
      for (std::size_t u = 0; u < grad[l].size(); ++u)
        grad[l][u] =
            round(grad[l][u] * DenseDerivative(layers[l].dense().activation,
                                               last ? z[l][u] : round(z[l][u]),
                                               in[l + 1][u]));
      if (l == 0) break;
      grad[l - 1].assign(in[l].size(), 0);
      for (std::size_t u = 0; u < grad[l].size(); ++u)
        for (std::size_t i = 0; i < in[l].size(); ++i)
          grad[l - 1][i] += grad[l][u] * weights[at[l] + u * in[l].size() + i];
    }
    double squared = 0;
    for (std::size_t l = 0; l < L; ++l)
      squared += std::pow(Norm(grad[l]), 2) * (std::pow(Norm(in[l]), 2) + 1);
    const double norm = std::sqrt(squared);
    const double limit = clip_norm * margin;
    for (std::size_t l = 0; l < L; ++l)
      for (std::size_t u = 0; u < grad[l].size(); ++u) {
        const double g =
            norm <= limit ? grad[l][u] : round(grad[l][u] * limit / norm);
        for (std::size_t i = 0; i < in[l].size(); ++i)
          sum[at[l] + u * in[l].size() + i] += g * in[l][i];
        sum[at[l] + grad[l].size() * in[l].size() + u] += g;
      }
    found.loss_sum += LossOfOutputs(shard.spec.loss, out, label);
    found.clipped += norm > clip_norm ? 1 : 0;
  }
  for (const double value : sum)
    found.gradient.push_back(static_cast<float>(value * scale));
  return found;
}

}  // namespace hearsay::model
