// The cluster as one node sees it, and the documents made of it: the status
// JSON, the members, the links, the metrics. Pure functions of plain data.
//
// Egress: no field here or in a document is private (report.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/budget.h"
#include "daemon/events.h"
#include "daemon/exchange_loop.h"
#include "daemon/profile.h"
#include "daemon/report.h"
#include "daemon/resync.h"
#include "transport/transport.h"

namespace hearsay::daemon {

struct KnownNode {
  std::string name;
  std::string address;
  // Of the member list: alive, suspect, failed, left, refused; self is alive.
  transport::MemberState member = transport::MemberState::kAlive;
  std::string said_by;  // whose word that is
  // This node's own connection with it; of self as if there were one.
  transport::EdgeState edge = transport::EdgeState::kConnected;
  double edge_since_seconds = 0;
  std::uint64_t incarnation = 0;
  double since_seconds = 0;
  std::optional<double> age_seconds = 0;  // of the last word; none: never
  std::string error;
  std::optional<NodeReport> report;  // The last one heard.
};

// As this node took part.
struct ResyncView {
  std::uint64_t every_steps = 0;
  std::uint64_t ok = 0;
  std::uint64_t failed = 0;
  std::optional<RoundReport> last;
};

struct ClusterView {
  std::string cluster;
  std::string rule;
  std::string self;
  std::vector<KnownNode> nodes;  // self included, sorted by name
  std::string topology = "ring";
  ResyncView resync = {};
  // Of momentum's blend at this node, an interval; nothing without momentum.
  std::optional<double> momentum_eta = {};
};

struct ClusterSummary {
  std::string health;  // healthy | degraded | unhealthy
  std::vector<std::string> reasons;
  int alive = 0;
  int total = 0;  // those that left are not counted
  std::optional<mixing::Consensus> consensus;
  std::map<std::string, double> distance;          // of each alive node
  std::map<std::string, double> effective_weight;  // of each alive node
};

// Below this relative distance the members are said to agree.
inline constexpr double kAgreedDistance = 0.02;

ClusterSummary Summarise(const ClusterView& view);

// Documents of /v1/...; see interface.md.
std::string StatusJson(const ClusterView& view, const Profile& profile);
std::string MembersJson(const ClusterView& view, const Profile& profile);

const char* Word(transport::MemberState state);

}  // namespace hearsay::daemon
