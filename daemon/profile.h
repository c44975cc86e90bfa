// Every timeout of a node follows from cluster.profile; `hearsay members`
// prints the values in force.
#pragma once

#include <string>

#include "transport/transport.h"

namespace hearsay::daemon {

struct Profile {
  std::string name;
  transport::Timing timing;
  // An exchange's answer is waited for this long, or eight times the measured
  // round trip if that is longer.
  transport::Milliseconds exchange_deadline{2000};
};

// `name` is local (one host), lan or wan.
Profile ProfileOf(const std::string& name);

}  // namespace hearsay::daemon
