#include "daemon/profile.h"

namespace hearsay::daemon {

using transport::Milliseconds;

Profile ProfileOf(const std::string& name) {
  Profile profile;
  profile.name = name;
  auto& t = profile.timing;
  if (name == "local") {
    // Generous beside a loopback's microseconds: all nodes share few cores. But
    // nobody need be waited for that long, so suspicion is short.
    t = {.heartbeat = Milliseconds(200),
         .silent_after = Milliseconds(1000),
         .give_up = Milliseconds(3000),
         .handshake = Milliseconds(2000),
         .retry_min = Milliseconds(50),
         .retry_max = Milliseconds(1000),
         .swim = {.suspicion_multiplier = 3, .suspicion_max_multiplier = 2}};
    profile.exchange_deadline = Milliseconds(1000);
  } else if (name == "wan") {
    t = {.heartbeat = Milliseconds(1000),
         .silent_after = Milliseconds(4000),
         .give_up = Milliseconds(15000),
         .handshake = Milliseconds(10000),
         .retry_min = Milliseconds(500),
         .retry_max = Milliseconds(15000),
         .swim = {.probe_interval = Milliseconds(4000),
                  .probe_timeout = Milliseconds(2000)}};
    profile.exchange_deadline = Milliseconds(10000);
  }  // lan: the defaults
  return profile;
}

}  // namespace hearsay::daemon
