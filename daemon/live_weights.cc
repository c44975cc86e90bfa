#include "daemon/live_weights.h"

#include <algorithm>
#include <cassert>
#include <chrono>

namespace hearsay::daemon {

LiveWeights::LiveWeights(std::size_t size)
    : arena_(size), mutexes_((size + kChunk - 1) / kChunk) {}

template <typename Pass>
void LiveWeights::EachChunk(Pass pass) const {
  for (std::size_t chunk = 0; chunk < mutexes_.size(); ++chunk) {
    const std::size_t begin = chunk * kChunk;
    std::unique_lock lock(mutexes_[chunk], std::try_to_lock);
    if (!lock) {
      const auto asked = std::chrono::steady_clock::now();
      lock.lock();
      waited_ns_ +=
          std::chrono::nanoseconds(std::chrono::steady_clock::now() - asked)
              .count();
    }
    pass(begin, std::min(begin + kChunk, size()));
  }
}

void LiveWeights::Assign(std::span<const float> values) {
  assert(values.size() == size());
  float* live = arena_.span().data();
  EachChunk([&](std::size_t begin, std::size_t end) {
    std::copy(values.data() + begin, values.data() + end, live + begin);
  });
}

void LiveWeights::Snapshot(std::span<float> out) const {
  assert(out.size() == size());
  const float* live = arena_.span().data();
  EachChunk([&](std::size_t begin, std::size_t end) {
    std::copy(live + begin, live + end, out.data() + begin);
  });
}

void LiveWeights::Add(std::span<const float> update) {
  assert(update.size() == size());
  float* live = arena_.span().data();
  const float* add = update.data();
  EachChunk([&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) live[i] += add[i];
  });
}

void LiveWeights::Correct(float gain, std::span<const float> theirs,
                          std::span<const float> mine) {
  assert(theirs.size() == size() && mine.size() == size());
  float* live = arena_.span().data();
  const float* a = theirs.data();
  const float* b = mine.data();
  EachChunk([&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) live[i] += gain * (a[i] - b[i]);
  });
}

double LiveWeights::waited_seconds() const {
  return static_cast<double>(waited_ns_.load()) * 1e-9;
}

}  // namespace hearsay::daemon
