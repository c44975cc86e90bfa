#include "daemon/mixing/sketch.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace hearsay::mixing {

namespace {

// SplitMix64's finaliser (Steele et al. 2014): a public, fixed mixing of the
// index into a bucket and a sign.
std::uint64_t Hash(std::uint64_t index) {
  std::uint64_t z = (index + 1) * 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

}  // namespace

Sketch SketchOf(std::span<const float> weights) {
  // Double: a bucket sums thousands of weights of a large model.
  std::array<double, kSketchBuckets> sum{};
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::uint64_t hash = Hash(i);
    const double sign = (hash >> 63U) != 0 ? -1.0 : 1.0;
    sum[hash % kSketchBuckets] += sign * static_cast<double>(weights[i]);
  }
  Sketch sketch;
  std::transform(sum.begin(), sum.end(), sketch.begin(),
                 [](double value) { return static_cast<float>(value); });
  return sketch;
}

std::optional<Consensus> ConsensusOf(std::span<const Sketch> sketches) {
  if (sketches.empty()) return std::nullopt;
  const auto n = static_cast<double>(sketches.size());
  std::array<double, kSketchBuckets> mean{};
  for (const auto& sketch : sketches)
    for (std::size_t k = 0; k < kSketchBuckets; ++k)
      mean[k] += static_cast<double>(sketch[k]) / n;
  double norm = 0;
  for (const double value : mean) norm += value * value;
  if (!std::isfinite(norm)) return std::nullopt;
  // All weights zero: everybody agrees, and there is nothing to be relative to.
  const double scale = norm > 0 ? 1 / std::sqrt(norm) : 0;

  Consensus consensus;
  double total = 0;
  for (const auto& sketch : sketches) {
    double distance = 0;
    for (std::size_t k = 0; k < kSketchBuckets; ++k) {
      const double difference = static_cast<double>(sketch[k]) - mean[k];
      distance += difference * difference;
    }
    total += distance;
    consensus.of_each.push_back(std::sqrt(distance) * scale);
  }
  consensus.relative_distance = std::sqrt(total / n) * scale;
  return consensus;
}

}  // namespace hearsay::mixing
