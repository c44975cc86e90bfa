// The live weights: the one object at which the trainer and the exchange meet.
//
// Both only ever add, chunk by chunk, so the order does not matter and no lock
// spans a message or a step. Every operation is linear and element-wise, one
// streaming pass under locks of one chunk at a time; none needs a consistent
// whole (mixing.md 3).
//
// With momentum (mixing/momentum.h) there is a second array, the twin. The two
// are blended all the time, which each pass catches up on for its chunk: one
// that changes them as it goes, one that only reads in what it reads. The twin
// itself never leaves the node, but in a checkpoint on its own disk. What does
// is the weights, into which it is blended: noised updates, as ever.
//
// Threads: any. Nobody waits for more than one chunk.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "daemon/mixing/rule.h"
#include "model/arena.h"

namespace hearsay::daemon {

class LiveWeights {
 public:
  static constexpr std::size_t kChunk = (std::size_t{1} << 20) / sizeof(float);
  using Clock = std::chrono::steady_clock;

  // With Momentum::kAcid there is a twin.
  explicit LiveWeights(std::size_t size,
                       mixing::Momentum momentum = mixing::Momentum::kOff,
                       std::function<Clock::time_point()> now = Clock::now);

  std::size_t size() const { return arena_.size(); }
  bool has_twin() const { return twin_.size() > 0; }

  // How fast the two arrays are blended from now on: eta, a second; 0 at first.
  void SetBlend(double eta) { eta_ = eta; }

  // All spans have size() elements.
  // The twin, too: where nothing is known of it, it begins at the weights.
  void Assign(std::span<const float> values);
  void Snapshot(std::span<float> out) const;
  // To both arrays.
  void Add(std::span<const float> update);
  // live += gain * (theirs - mine): a step of an exchange, where `mine` is the
  // snapshot of the same moment as `theirs`.
  void Correct(float gain, std::span<const float> theirs,
               std::span<const float> mine);

  // live += gain * (theirs - (mine + live) / 2). Requires: no twin.
  void CorrectMidway(float gain, std::span<const float> theirs,
                     std::span<const float> mine);
  // live += gain * (theirs - live): what undoes steps if theirs is old.
  // Requires: no twin.
  void Pull(float gain, std::span<const float> theirs);

  // Correct, where each array has a gain.
  struct Gains {
    float live = 0, twin = 0;
  };
  void Correct(const Gains& gains, std::span<const float> theirs,
               std::span<const float> mine);

  // The same, of theirs - mine.
  void Correct(const Gains& gains, std::span<const float> difference);

  // A full average: Correct with a gain of 1, and the twin begins anew at the
  // weights. What it would carry on was against disagreement that is gone; of
  // all that could be done with it, this disagreed least (decision 0026).
  void MoveToMean(std::span<const float> mean, std::span<const float> mine);

  // For checkpoints: both arrays of a moment. Requires: a twin.
  void AssignBoth(std::span<const float> values, std::span<const float> twin);
  void SnapshotBoth(std::span<float> out, std::span<float> twin) const;

  // Seconds that callers waited for a chunk held by another, in all.
  double waited_seconds() const;

 private:
  template <typename Pass>
  void EachChunk(Pass pass) const;
  // Both arrays by the gain times change(i), from where the blend has them.
  template <typename Change>
  void Move(const Gains& gains, Change change);
  // What is to be blended of the chunk that begins there.
  float Due(std::size_t begin, Clock::time_point now) const;

  const std::function<Clock::time_point()> now_;
  std::atomic<double> eta_ = 0;

  model::Arena arena_;  // Guarded by the chunk's mutex.
  model::Arena twin_;   // Guarded by the chunk's mutex.
  std::vector<Clock::time_point>
      since_;  // Of a chunk's last blend; guarded too.
  mutable std::vector<std::mutex> mutexes_;
  mutable std::atomic<std::int64_t> waited_ns_ = 0;
};

}  // namespace hearsay::daemon
