// /metrics in Prometheus' text format; names and units of interface.md.
#pragma once

#include <string>

namespace hearsay::daemon {

class Node;

// The phases of a step are class private (their times tell realised batch
// sizes), so only the owner of the node reads them.
enum class Reader { kAnybody, kOwner };

std::string Metrics(const Node& node, Reader reader);

}  // namespace hearsay::daemon
