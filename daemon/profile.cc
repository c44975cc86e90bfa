#include "daemon/profile.h"

namespace hearsay::daemon {

using transport::Milliseconds;

Profile ProfileOf(const std::string& name) {
  Profile profile;
  profile.name = name;
  auto& t = profile.timing;
  if (name == "local") {
    // Generous beside a loopback's microseconds: all nodes share few cores.
    t = {.heartbeat = Milliseconds(200),
         .suspect_after = Milliseconds(1000),
         .failed_after = Milliseconds(2000),
         .handshake = Milliseconds(2000),
         .retry_min = Milliseconds(50),
         .retry_max = Milliseconds(1000)};
    profile.exchange_deadline = Milliseconds(1000);
  } else if (name == "wan") {
    t = {.heartbeat = Milliseconds(1000),
         .suspect_after = Milliseconds(5000),
         .failed_after = Milliseconds(10000),
         .handshake = Milliseconds(10000),
         .retry_min = Milliseconds(500),
         .retry_max = Milliseconds(15000)};
    profile.exchange_deadline = Milliseconds(10000);
  }  // lan: the defaults
  return profile;
}

}  // namespace hearsay::daemon
