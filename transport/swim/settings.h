// What the failure detector may take its time for. Pure numbers; the daemon
// derives them from cluster.profile.
#pragma once

#include <chrono>

namespace hearsay::transport::swim {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

struct Settings {
  // Of one probe, from its start to its verdict; one begins in every interval.
  Milliseconds probe_interval{1000};
  // Until others are asked to probe in our stead.
  Milliseconds probe_timeout{500};
  int indirect_probes = 3;
  // A suspect is failed after multiplier x log10(members) x probe_interval at
  // the soonest, and max_multiplier times that if nobody else suspects it.
  int suspicion_multiplier = 4;
  int suspicion_max_multiplier = 6;
  // News is sent on multiplier x log10(members) times.
  int retransmit_multiplier = 4;
  // Local health scores stay below this; 1 + score scales the probes' waits.
  int health_limit = 8;
  // Off: SWIM as of 2002, to compare with.
  bool lifeguard = true;
};

}  // namespace hearsay::transport::swim
