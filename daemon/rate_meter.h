// Steps per second over the last seconds, from samples of a counter.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

namespace hearsay::daemon {

class RateMeter {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kWindow{3};

  void Sample(Clock::time_point now, std::uint64_t count) {
    samples_.push_back({now, count});
    while (samples_.size() > 2 && now - samples_.front().when > kWindow)
      samples_.pop_front();
  }

  // 0 before the second sample.
  double PerSecond() const {
    if (samples_.size() < 2) return 0;
    const auto& first = samples_.front();
    const auto& last = samples_.back();
    const double seconds =
        std::chrono::duration<double>(last.when - first.when).count();
    return seconds <= 0
               ? 0
               : static_cast<double>(last.count - first.count) / seconds;
  }

 private:
  struct At {
    Clock::time_point when;
    std::uint64_t count;
  };
  std::deque<At> samples_;
};

}  // namespace hearsay::daemon
