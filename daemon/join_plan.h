// How a node begins: with the weights that it has, or with those of a member
// that has trained without it (ops/decisions/0009). Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace hearsay::daemon {

enum class JoinPlan {
  kWait,   // it is too early to tell
  kBegin,  // nobody is ahead: begin with one's own weights
  kFetch,  // somebody is: fetch theirs first
};

// What a starting node knows.
struct JoinSituation {
  struct Peer {            // alive, and has reported
    bool ahead = false;    // it had trained before we met it
    bool joining = false;  // it is about to begin, or to fetch, itself
  };
  std::vector<Peer> peers = {};
  std::size_t silent = 0;      // alive, has not reported yet
  std::size_t configured = 0;  // addresses in cluster.peers
  bool mixes = true;           // the rule is not "none"
  bool resumed = false;        // from a checkpoint
  std::size_t expect = 1;      // cluster.expect, for a fresh run
  bool listened = false;       // long enough for anybody there to be heard
  bool expect_over = false;    // cluster.expect_timeout is over
};

JoinPlan PlanJoin(const JoinSituation& situation);

// Why an array of Euclidean norm `norm` is no model of the kind that this
// cluster trains: it is far larger than what this node (`own`) and the members
// (`others`, from their sketches) have, by the median. Nothing if it may be.
std::optional<std::string> InsaneNorm(double norm, double own,
                                      std::vector<double> others);

}  // namespace hearsay::daemon
