#include "daemon/live_weights.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "daemon/mixing/momentum.h"

namespace hearsay::daemon {

using mixing::Momentum;

LiveWeights::LiveWeights(std::size_t size, Momentum momentum,
                         std::function<Clock::time_point()> now)
    : now_(std::move(now)),
      arena_(size),
      twin_(momentum == Momentum::kAcid ? size : 0),
      since_((twin_.size() + kChunk - 1) / kChunk, now_()),
      mutexes_((size + kChunk - 1) / kChunk) {}

template <typename Pass>
void LiveWeights::EachChunk(Pass pass) const {
  for (std::size_t chunk = 0; chunk < mutexes_.size(); ++chunk) {
    const std::size_t begin = chunk * kChunk;
    std::unique_lock lock(mutexes_[chunk], std::try_to_lock);
    if (!lock) {
      const auto asked = Clock::now();
      lock.lock();
      waited_ns_ += std::chrono::nanoseconds(Clock::now() - asked).count();
    }
    pass(begin, std::min(begin + kChunk, size()));
  }
}

float LiveWeights::Due(std::size_t begin, Clock::time_point now) const {
  const std::chrono::duration<double> time = now - since_[begin / kChunk];
  return static_cast<float>(mixing::BlendShare(eta_, time.count()));
}

template <typename Change>
void LiveWeights::Move(const Gains& gains, Change change) {
  float* live = arena_.span().data();
  float* twin = twin_.span().data();
  EachChunk([=, this](std::size_t begin, std::size_t end) {
    if (!has_twin()) {
      for (std::size_t i = begin; i < end; ++i)
        live[i] += gains.live * change(i);
      return;
    }
    const auto now = now_();
    const float share = Due(begin, now);
    since_[begin / kChunk] = now;
    for (std::size_t i = begin; i < end; ++i) {
      const float blend = share * (twin[i] - live[i]);
      const float by = change(i);
      live[i] = live[i] + blend + gains.live * by;
      twin[i] = twin[i] - blend + gains.twin * by;
    }
  });
}

void LiveWeights::Assign(std::span<const float> values) {
  assert(values.size() == size());
  if (has_twin()) return AssignBoth(values, values);
  float* live = arena_.span().data();
  EachChunk([&](std::size_t begin, std::size_t end) {
    std::copy(values.data() + begin, values.data() + end, live + begin);
  });
}

void LiveWeights::AssignBoth(std::span<const float> values,
                             std::span<const float> twin) {
  assert(values.size() == size() && twin.size() == twin_.size());
  float* x = arena_.span().data();
  float* y = twin_.span().data();
  EachChunk([&](std::size_t begin, std::size_t end) {
    since_[begin / kChunk] = now_();
    std::copy(values.data() + begin, values.data() + end, x + begin);
    std::copy(twin.data() + begin, twin.data() + end, y + begin);
  });
}

void LiveWeights::Snapshot(std::span<float> out) const {
  assert(out.size() == size());
  const float* live = arena_.span().data();
  const float* twin = twin_.span().data();
  float* to = out.data();
  EachChunk([=, this](std::size_t begin, std::size_t end) {
    if (!has_twin()) {
      std::copy(live + begin, live + end, to + begin);
      return;
    }
    const float share = Due(begin, now_());
    for (std::size_t i = begin; i < end; ++i)
      to[i] = live[i] + share * (twin[i] - live[i]);
  });
}

void LiveWeights::SnapshotBoth(std::span<float> out,
                               std::span<float> twin) const {
  assert(out.size() == size() && twin.size() == twin_.size());
  const float* x = arena_.span().data();
  const float* y = twin_.span().data();
  EachChunk([&](std::size_t begin, std::size_t end) {
    const float share = Due(begin, now_());
    for (std::size_t i = begin; i < end; ++i) {
      const float blend = share * (y[i] - x[i]);
      out[i] = x[i] + blend;
      twin[i] = y[i] - blend;
    }
  });
}

void LiveWeights::MoveToMean(std::span<const float> mean,
                             std::span<const float> mine) {
  if (!has_twin()) return Correct(1, mean, mine);
  assert(mean.size() == size() && mine.size() == size());
  float* live = arena_.span().data();
  float* twin = twin_.span().data();
  const float* to = mean.data();
  const float* from = mine.data();
  EachChunk([=, this](std::size_t begin, std::size_t end) {
    const float share = Due(begin, now_());
    for (std::size_t i = begin; i < end; ++i) {
      live[i] += share * (twin[i] - live[i]) + (to[i] - from[i]);
      twin[i] = live[i];
    }
  });
}

void LiveWeights::Add(std::span<const float> update) {
  assert(update.size() == size());
  Move({.live = 1, .twin = 1},
       [add = update.data()](auto i) { return add[i]; });
}

void LiveWeights::Correct(const Gains& gains, std::span<const float> theirs,
                          std::span<const float> mine) {
  assert(theirs.size() == size() && mine.size() == size());
  Move(gains,
       [a = theirs.data(), b = mine.data()](auto i) { return a[i] - b[i]; });
}

void LiveWeights::Correct(const Gains& gains,
                          std::span<const float> difference) {
  assert(difference.size() == size());
  Move(gains, [by = difference.data()](auto i) { return by[i]; });
}

void LiveWeights::Correct(float gain, std::span<const float> theirs,
                          std::span<const float> mine) {
  Correct({.live = gain, .twin = gain}, theirs, mine);
}

void LiveWeights::CorrectMidway(float gain, std::span<const float> theirs,
                                std::span<const float> mine) {
  assert(!has_twin() && theirs.size() == size() && mine.size() == size());
  float* live = arena_.span().data();
  const float* a = theirs.data();
  const float* b = mine.data();
  EachChunk([&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      live[i] += gain * (a[i] - 0.5F * (b[i] + live[i]));
  });
}

void LiveWeights::Pull(float gain, std::span<const float> theirs) {
  assert(!has_twin() && theirs.size() == size());
  float* live = arena_.span().data();
  const float* a = theirs.data();
  EachChunk([&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      live[i] += gain * (a[i] - live[i]);
  });
}

double LiveWeights::waited_seconds() const {
  return static_cast<double>(waited_ns_.load()) * 1e-9;
}

}  // namespace hearsay::daemon
