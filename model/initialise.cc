#include "model/initialise.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <random>

#include "model/layer_rules.h"

namespace hearsay::model {

namespace {

// The standard fixes every bit of an engine and of seed_seq; only its
// distributions may differ between libraries.
std::mt19937_64 Engine(const std::array<std::uint8_t, 32>& key) {
  std::array<std::uint32_t, 8> words{};
  for (std::size_t i = 0; i < key.size(); ++i)  // little-endian on any machine
    words[i / 4] |= std::uint32_t{key[i]} << (8 * (i % 4));
  std::seed_seq seed(words.begin(), words.end());
  return std::mt19937_64(seed);
}

// Uniform on the 2^24 odd multiples of 2^-24 in (-1, 1): symmetric, never
// zero, and exact in float32.
double Symmetric(std::mt19937_64& engine) {
  const auto k = static_cast<std::int64_t>(engine() >> 40);
  return static_cast<double>(2 * k + 1 - (std::int64_t{1} << 24)) * 0x1p-24;
}

// sqrt and / are correctly rounded by IEEE 754, unlike the rest of libm.
double Bound(Activation activation, double inputs, double units) {
  switch (activation) {
    case Activation::kRelu:
    case Activation::kGelu:
      return std::sqrt(6.0 / inputs);  // He
    case Activation::kNone:
    case Activation::kTanh:
    case Activation::kSigmoid:
      break;
  }
  return std::sqrt(6.0 / (inputs + units));  // Glorot
}

}  // namespace

void Initialise(const ModelSpec& spec,
                const std::array<std::uint8_t, 32>& public_key,
                std::span<float> weights) {
  assert(weights.size() == ParameterCount(spec));
  std::mt19937_64 engine = Engine(public_key);
  std::size_t next = 0;
  for (const Parameter& parameter :
       ParametersAlong(spec.layers, Shapes(spec).front())) {
    const auto values = weights.subspan(next, parameter.size());
    next += parameter.size();
    std::fill(values.begin(), values.end(),
              parameter.start == Parameter::Start::kOne ? 1.0f : 0.0f);
    if (parameter.start != Parameter::Start::kUniform) continue;
    const double bound =
        Bound(parameter.next, parameter.fan_in, parameter.fan_out);
    for (float& weight : values)
      weight = static_cast<float>(bound * Symmetric(engine));
  }
}

}  // namespace hearsay::model
