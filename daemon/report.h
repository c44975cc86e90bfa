// What is known of one node: filled first-hand for this node, decoded from the
// last heartbeat for the others. One struct, so that the cluster view cannot
// hold more of oneself than what the peers are told.
//
// Egress classes: see report.proto. Nothing here is private.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/ledger_mark.h"
#include "daemon/mixing/sketch.h"

namespace hearsay::daemon {

struct LinkReport {
  std::string peer;
  std::string direction;  // "out": we ask; "in": they ask
  std::string transport;
  std::uint64_t ok = 0;
  std::uint64_t failed = 0;
  std::uint64_t one_sided = 0;
  double round_trip_seconds = 0;
  double bytes_per_second = 0;
};

// What one remembers of another's ledger.
struct MemberMark {
  std::string node;
  LedgerMark mark;
};

// That fit into a report.
inline constexpr std::size_t kMostMarks = 64;

struct NodeReport {
  std::uint64_t step = 0;
  std::string state = "starting";
  double steps_per_second = 0;
  std::optional<mixing::Sketch> sketch;
  std::optional<double> eval_loss;
  std::optional<double> eval_accuracy;
  double epsilon = 0;
  std::optional<double> target_epsilon;
  double delta = 0;
  std::uint64_t steps_left = 0;
  bool privacy_valid = false;
  double proposed_interval = 0;  // seconds
  std::vector<LinkReport> links;
  std::string health = "healthy";
  std::vector<std::string> reasons;
  std::string group;  // "": none
  // By who decides of it, where it is not by name.
  std::vector<std::string> ring_order;
  std::string accountant = "rdp";
  std::optional<LedgerMark> ledger;  // none with a probe
  std::vector<MemberMark> marks;
  std::optional<double> noised_loss;  // privacy.loss_bound
};

std::string EncodeReport(const NodeReport& report);
// Nothing if it is malformed, out of bounds or not finite.
std::optional<NodeReport> DecodeReport(const std::string& bytes);

}  // namespace hearsay::daemon
