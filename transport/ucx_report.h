// What the UCX of this machine is and can do, for people who look for what is
// wrong with it.
//
// Threads: any.
#pragma once

#include <string>
#include <vector>

namespace hearsay::transport {

struct UcxReport {
  std::string version;                  // of the library in use
  std::vector<std::string> transports;  // "tcp/lo", "posix/memory", ...
  // That it can move: "host", "cuda", ...
  std::vector<std::string> memory_types;
  std::string error;  // "" if it could be asked
};

// With the environment as it is.
UcxReport InspectUcx();

}  // namespace hearsay::transport
