// A synthetic data set whose every example has a gradient of its own direction,
// orthogonal to all others', whatever the weights are.
//
// Canary k is cell (k / side, k % side) of a linear model's square of weights:
// its one input is lit, and its one output is asked for what is far away. The
// gradient of a squared error is then along that one weight, all but a
// thousandth (the bias's share; the network has one), and kLength times longer
// than the clip norm: clipping is part of what is audited. The clipped gradient
// is the real network's; the only thing of ours is how a canary's number, which
// is all that its row says, becomes inputs and labels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "model/network.h"
#include "model/spec.h"

namespace hearsay::ops {

class CanaryModel {
 public:
  static constexpr double kLength = 10;  // Gradient norms over the clip norm.

  // Requires: canaries >= 1, clip_norm > 0.
  CanaryModel(std::size_t canaries, double clip_norm);

  std::size_t weights() const { return model::ParameterCount(spec_); }
  // Which weight is canary k's.
  std::size_t WeightOf(std::size_t canary) const;
  // The CPU's network, over rows of a canary's number each.
  std::unique_ptr<model::Network> MakeNetwork(int max_batch) const;

 private:
  const int side_;
  const double clip_norm_;
  const model::ModelSpec spec_;
};

// One row a canary that is in. Requires: at least one is. Throws: FileError.
void WriteCanaries(const std::filesystem::path& path,
                   std::span<const std::uint8_t> included);

}  // namespace hearsay::ops
