// The live weights: the one object at which the trainer and the exchange meet.
//
// Both only ever add, chunk by chunk, so the order does not matter and no lock
// spans a message or a step. Every operation is linear and element-wise, one
// streaming pass under locks of one chunk at a time; none needs a consistent
// whole (mixing.md 3).
//
// Threads: any. Nobody waits for more than one chunk.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "model/arena.h"

namespace hearsay::daemon {

class LiveWeights {
 public:
  static constexpr std::size_t kChunk = (std::size_t{1} << 20) / sizeof(float);

  explicit LiveWeights(std::size_t size);

  std::size_t size() const { return arena_.size(); }

  // All spans have size() elements.
  void Assign(std::span<const float> values);
  void Snapshot(std::span<float> out) const;
  void Add(std::span<const float> update);
  // live += gain * (theirs - mine): a step of an exchange, where `mine` is the
  // snapshot of the same moment as `theirs`.
  void Correct(float gain, std::span<const float> theirs,
               std::span<const float> mine);

  // Seconds that callers waited for a chunk held by another, in all.
  double waited_seconds() const;

 private:
  template <typename Pass>
  void EachChunk(Pass pass) const;

  model::Arena arena_;  // Guarded by the chunk's mutex.
  mutable std::vector<std::mutex> mutexes_;
  mutable std::atomic<std::int64_t> waited_ns_ = 0;
};

}  // namespace hearsay::daemon
