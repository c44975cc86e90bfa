#include "model/initialise.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <random>

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
double Bound(Activation activation, int inputs, int units) {
  switch (activation) {
    case Activation::kRelu:
    case Activation::kGelu:
      return std::sqrt(6.0 / inputs);  // He
    case Activation::kNone:
    case Activation::kTanh:
      break;
  }
  return std::sqrt(6.0 / (static_cast<double>(inputs) + units));  // Glorot
}

}  // namespace

void Initialise(const ModelSpec& spec,
                const std::array<std::uint8_t, 32>& public_key,
                std::span<float> weights) {
  assert(weights.size() == ParameterCount(spec));
  std::mt19937_64 engine = Engine(public_key);
  std::size_t next = 0;
  int inputs = spec.inputs;
  for (const Dense& layer : spec.layers) {
    const double bound = Bound(layer.activation, inputs, layer.units);
    const auto units = static_cast<std::size_t>(layer.units);
    for (float& weight :
         weights.subspan(next, units * static_cast<std::size_t>(inputs)))
      weight = static_cast<float>(bound * Symmetric(engine));
    next += units * static_cast<std::size_t>(inputs);
    const auto bias = weights.subspan(next, units);
    std::fill(bias.begin(), bias.end(), 0.0f);
    next += units;
    inputs = layer.units;
  }
}

}  // namespace hearsay::model
