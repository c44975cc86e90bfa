// /metrics in Prometheus' text format; names and units of interface.md.
#pragma once

#include <optional>
#include <string>

#include "daemon/egress.h"

namespace hearsay::daemon {

class Node;

// The phases of a step are class private (their times tell realised batch
// sizes), so only who has the owner's door reads them.
std::string Metrics(const Node& node, const std::optional<OwnersDoor>& door);

}  // namespace hearsay::daemon
