// Blocks until every node asked is where the caller wants it.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "ops/cli/target.h"

namespace hearsay::ops {

struct WaitOptions {
  Where where;
  std::string state;  // ready | converged | finished | step>=N | members=N
  std::optional<std::chrono::milliseconds> timeout;
};

// The verb.
// Throws: Exit(kTimedOut); Exit(kExhausted) if a node's budget ended before its
// steps; Exit(kUnhealthy) if one cannot train; Exit(kUnreachable) if a process
// of --dir is not running; Exit(kError) if the state can no longer be reached;
// Exit(kUsage) if there is no such state.
void Wait(const WaitOptions& options);

}  // namespace hearsay::ops
