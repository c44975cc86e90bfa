// Whom this node exchanges with: its successor in the ring among the members
// that can be reached, that take part, and that have not been set aside.
//
// Two reasons to set a member aside. *Quarantine*: it repeats offences (arrays
// that are not finite, beyond the clip, stale, altered, replayed or of a wrong
// size); it is neither asked nor answered. *Bypass*: it is alive by the member
// list, yet exchanges with it fail in a row (frozen, or a wire that carries one
// way only), which is no offence; it is answered, but not asked.
//
// Pure bookkeeping over a clock that is passed in. Threads: one.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/cooldown.h"

namespace hearsay::daemon {

// As this node sees it.
struct Candidate {
  std::string name;
  bool reachable = false;  // alive, and this node's own connection to it works
  bool mixes = false;      // it is past joining
  bool left = false;       // on purpose: no failure to repair
};

class Neighbours {
 public:
  using Time = Cooldown::Time;

  // `tell` hears, in one line each, what an operator would want to know.
  Neighbours(std::string self, std::function<void(const std::string&)> tell);

  // The ring of now. Call it whenever a candidate may have changed, and at
  // times in between: time lets set-aside members in again.
  void Update(const std::vector<Candidate>& candidates, Time now);

  // Whom to ask; nobody if alone.
  std::optional<std::string> Successor(Time now) const;
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
  // Times the successor failed, or was set aside, and was passed over.
  std::uint64_t repairs() const { return repairs_; }

 private:
  void Follow(Time now);

  const std::string self_;
  const std::function<void(const std::string&)> tell_;
  Cooldown quarantine_;
  Cooldown bypass_;
  std::vector<Candidate> candidates_;
  std::string successor_;  // "": alone
  std::uint64_t repairs_ = 0;
};

}  // namespace hearsay::daemon
