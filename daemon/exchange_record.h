// What became of the exchanges with each peer, and how new its arrays are.
//
// Threads: the network thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "daemon/mixing/vet.h"
#include "transport/transport.h"

namespace hearsay::daemon {

// Of the exchanges with one peer. Egress: public.
struct ExchangeCounters {
  std::uint64_t ok = 0;         // asked, answered, corrected
  std::uint64_t failed = 0;     // asked, no use: late, lost or unfit
  std::uint64_t answered = 0;   // their requests, corrected and answered
  std::uint64_t declined = 0;   // asked, it had nothing to give
  std::uint64_t one_sided = 0;  // corrected here, but the answer was lost
  std::uint64_t untrusted = 0;  // their requests, dropped: quarantined
  // Arrays dropped whole.
  std::uint64_t not_finite = 0;
  std::uint64_t beyond_clip = 0;
  std::uint64_t stale = 0;
  std::uint64_t malformed = 0;

  double round_trip_seconds = 0;     // smoothed; 0 before the first
  std::uint64_t newest_version = 0;  // steps, as this process of it has shown
  std::uint64_t used_version = 0;    // of the last array that was let in
  std::optional<transport::Clock::time_point> used;  // when that was
};

class ExchangeRecord {
 public:
  // `max_staleness`: mixing.max_staleness, steps; 0 = none.
  explicit ExchangeRecord(std::uint64_t max_staleness)
      : max_staleness_(max_staleness) {}

  ExchangeCounters& Of(const std::string& peer) { return counters_[peer]; }
  const std::map<std::string, ExchangeCounters>& all() const {
    return counters_;
  }
  // Corrections that this node has made.
  std::uint64_t Corrections() const;

  // Is an array of `peer` at that step too old to let in?
  bool IsStale(const std::string& peer, std::uint64_t version);
  // `peer` has shown that it is at `step`.
  void OnStep(const std::string& peer, std::uint64_t step);
  // A new process has taken the name: its steps begin anew.
  void OnRestart(const std::string& peer);
  // An array of it was let in.
  void OnUsed(const std::string& peer, std::uint64_t version);
  // An array of it was dropped.
  void OnFault(const std::string& peer, mixing::Fault fault);
  void OnRoundTrip(const std::string& peer, double seconds);
  double RoundTripSeconds(const std::string& peer) const;  // 0: unknown

 private:
  const std::uint64_t max_staleness_;
  std::map<std::string, ExchangeCounters> counters_;
};

}  // namespace hearsay::daemon
