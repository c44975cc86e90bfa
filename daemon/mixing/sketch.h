// Count-sketch of the weights, and the consensus distance estimated from the
// members' sketches: 4 KiB a heartbeat instead of the whole model.
//
// Every node uses the same public hash, so the sketch is linear: the sketch of
// a difference is the difference of the sketches, and its squared norm is that
// of the vector within a relative standard error of sqrt(2/1024), about 4 %.
// Source: Charikar, Chen, Farach-Colton 2002; AMS estimator of the norm.
// Egress class of a sketch: released (a function of noised weights only).
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace hearsay::mixing {

inline constexpr std::size_t kSketchBuckets = 1024;
using Sketch = std::array<float, kSketchBuckets>;

Sketch SketchOf(std::span<const float> weights);

struct Consensus {
  // sqrt(mean_i |w_i - mean|^2) / |mean|; 0 for a single node.
  double relative_distance = 0;
  // |w_i - mean| / |mean| of each, in the order given.
  std::vector<double> of_each;
};

// Nothing for no sketches, or if one of them is not finite.
std::optional<Consensus> ConsensusOf(std::span<const Sketch> sketches);

}  // namespace hearsay::mixing
