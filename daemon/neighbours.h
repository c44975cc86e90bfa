// Whom this node exchanges with: by the topology among the members that can be
// reached, that take part, and that have not been set aside.
//
// Two reasons to set a member aside. *Quarantine*: it repeats offences (arrays
// that are not finite, beyond the clip, stale, altered, replayed or of a wrong
// size); it is neither asked nor answered. *Bypass*: it is alive by the member
// list, yet exchanges with it fail in a row (frozen, or a wire that carries one
// way only), which is no offence; it is answered, but not asked.
//
// Pure bookkeeping over a clock that is passed in. Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/cooldown.h"
#include "daemon/mixing/topology.h"

namespace hearsay::daemon {

// As this node sees it.
struct Candidate {
  std::string name;
  bool reachable = false;  // alive, and this node's own connection to it works
  bool mixes = false;      // it is past joining
  bool left = false;       // on purpose: no failure to repair
  std::string group = {};  // for a hierarchical topology
};

// How members are joined.
struct TopologyChoice {
  mixing::TopologyKind kind = mixing::TopologyKind::kRing;
  mixing::Adjacency adjacency = {};  // of kFile
  std::uint64_t seed = 0;            // shared by all
  std::string group = {};            // this node's
  bool both_ways = false;            // Membership
  // Now and then somebody else is asked, to know what each edge takes.
  bool explores = false;
};

class Neighbours {
 public:
  using Time = Cooldown::Time;

  // `tell` hears, in one line each, what an operator would want to know.
  Neighbours(std::string self, std::function<void(const std::string&)> tell,
             TopologyChoice topology = {});

  // The members of now. Call it whenever a candidate may have changed, and at
  // times in between: time lets set-aside members in again.
  void Update(const std::vector<Candidate>& candidates, Time now);

  // A ring's order, from the next Update on; where it is not of the members of
  // then, they stand by name.
  void SetOrder(std::vector<std::string> names) { order_ = std::move(names); }

  // Whom to ask in the next exchange; nobody if alone, or if the topology has
  // this node rest. Whoever is set aside is passed over.
  std::optional<std::string> Next(Time now);
  // A member that could be asked, though it need not be the next one.
  bool Mixes(const std::string& peer, Time now) const;
  // Neither asked nor answered while false.
  bool Trusts(const std::string& peer, Time now) const;

  // What came of an exchange with a member.
  void OnGood(const std::string& peer, Time now);
  void OnFailure(const std::string& peer, Time now);
  void OnOffence(const std::string& peer, const std::string& reason, Time now);
  // A new process has taken the name. Its quarantine stays: a restart is no
  // way out of it.
  void OnRestart(const std::string& peer) { bypass_.Forget(peer); }

  const Cooldown& quarantine() const { return quarantine_; }
  const Cooldown& bypass() const { return bypass_; }
  // Times that one of those this node asks failed, or was set aside.
  std::uint64_t repairs() const { return repairs_; }

 private:
  void Follow(Time now);
  // By `topology_`: those of some rounds, if it never repeats.
  std::vector<std::string> Asked() const;
  std::size_t Self() const;

  const std::string self_;
  const std::function<void(const std::string&)> tell_;
  Cooldown quarantine_;
  Cooldown bypass_;
  const TopologyChoice choice_;
  std::vector<Candidate> candidates_;
  std::vector<std::string> order_;
  // That mix, this one too: by name, or in their order.
  std::vector<std::string> members_;
  std::vector<std::uint32_t> groups_;
  std::unique_ptr<mixing::Topology> topology_;
  std::vector<std::string> asked_;  // whom this node asks in turn, sorted
  std::uint64_t round_ = 0;
  std::uint64_t repairs_ = 0;
};

}  // namespace hearsay::daemon
