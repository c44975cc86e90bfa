// The exponential moving average of the weights that the trainer's steps began
// from: smoother than the last of them under noise, and no dearer, since it is
// post-processing. For evaluation and export only: training, mixing and what
// neighbours see are the live weights. It stands still when training ends.
//
// Without a bias towards the first weights: of n steps, the weights i steps ago
// count decay^i / (1 + decay + ... + decay^(n-1)), as Adam corrects its
// moments. Source: Polyak and Juditsky 1992 for averaging; De et al. 2022,
// arXiv:2204.13650, 3.4, for DP-SGD.
//
// Threads: Follow and Restore: one at a time; others: any. Nobody waits for
// more than one chunk.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "daemon/live_weights.h"

namespace hearsay::daemon {

class Ema {
 public:
  // Requires: 0 < decay < 1.
  Ema(double decay, std::size_t size) : decay_(decay), average_(size) {}

  // One more step that begins at `weights`.
  void Follow(std::span<const float> weights);
  // Of a checkpoint. Requires: steps > 0.
  void Restore(std::span<const float> values, std::uint64_t steps);

  std::uint64_t steps() const { return steps_; }
  // Requires: steps() > 0.
  void Snapshot(std::span<float> out) const { average_.Snapshot(out); }
  std::size_t size() const { return average_.size(); }

 private:
  const double decay_;
  LiveWeights average_;
  std::atomic<std::uint64_t> steps_ = 0;
};

}  // namespace hearsay::daemon
