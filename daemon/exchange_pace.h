// How often a node starts an exchange of its own (`mixing.interval`).
//
// "auto" is the longest of three times: the median member's step, since mixing
// oftener than steps are taken gains nothing; twice an exchange's round trip,
// so that half the time is left without one on the way (mixing.md 3); and,
// where no core is free, the time in which exchanges take one hundredth of a
// core. The last one is what keeps a node of one core training: there every
// exchange is paid for by the trainer, in time and again in cold caches.
//
// What an exchange costs is the cheapest second seen, so that what else the
// network thread does in a quiet second is not taken for the price of the few
// exchanges in it, which would make them fewer still.
//
// Pure: clocks are read by the caller. Threads: one.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "daemon/config.h"

namespace hearsay::daemon {

// Running totals of this process.
struct CpuUse {
  std::chrono::steady_clock::time_point at;
  double process_seconds = 0;   // of CPU, all threads
  double exchange_seconds = 0;  // of those, network thread and passes
  std::uint64_t exchanges = 0;  // asked or answered
};

class ExchangePace {
 public:
  static constexpr Duration kShortest = std::chrono::milliseconds(1);
  static constexpr Duration kLongest = std::chrono::seconds(10);
  static constexpr double kCoreShare = 0.01;
  // Less than this of a core unused is no free core.
  static constexpr double kFreeCore = 0.5;

  // `configured`: mixing.interval, nullopt = auto. `cores` > 0: what this
  // process may use (daemon/cpu.h).
  ExchangePace(std::optional<Duration> configured, double cores);

  // The median member's step time; the largest interval that any proposes.
  void SetCluster(Duration median_step_time, Duration largest_proposed);
  void OnRoundTrip(double seconds);
  // Whenever it suits; what is nearer than a second to the last is ignored.
  void OnUse(const CpuUse& use);

  // What this node would choose by itself.
  Duration Proposed() const;
  // For rules whose interval must be that of all.
  Duration Common() const;
  // Of an answer, in intervals; nothing before the first.
  std::optional<double> Delay() const;

 private:
  const std::optional<Duration> configured_;
  const double cores_;
  Duration median_step_time_{0};
  Duration largest_proposed_{0};
  double round_trip_seconds_ = 0;  // smoothed; 0 before the first
  std::optional<CpuUse> last_;
  double cost_seconds_ = 0;  // CPU of one exchange, asked or answered
  bool core_free_ = true;
};

}  // namespace hearsay::daemon
