// Who is a member, and in what state, as far as this node has heard: merges
// records, times suspicions, refutes what is said of this node itself, and
// keeps the news to pass on.
//
// Source: Das, Gupta, Motivala. "SWIM" (2002), section 4.2, suspicion and
// incarnation numbers; Lifeguard (2017), section IV.B.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "transport/swim/gossip.h"
#include "transport/swim/record.h"
#include "transport/swim/settings.h"
#include "transport/swim/suspicion.h"

namespace hearsay::transport::swim {

// Of these, those that are gone make room for others.
inline constexpr std::size_t kMaxMembers = 1024;

struct Member {
  Record record;
  Clock::time_point since;  // of its state, in this life
  std::optional<Suspicion> suspicion;

  // Counts as a member: may be probed, and asked to probe.
  bool present() const {
    return record.state == State::kAlive || record.state == State::kSuspect;
  }
};

class Roster {
 public:
  enum class Outcome {
    kOld,      // nothing that was not known
    kChanged,  // the record of a member
    kRefuted,  // bad news of this very node, which denies it
  };

  Roster(const Settings& settings, Record self);

  Outcome Learn(const Record& news, Clock::time_point now);
  // This node leaves: it no longer refutes that it has left.
  void Leave();
  // Suspects whose time is over.
  std::vector<std::string> Overdue(Clock::time_point now) const;
  void Postpone(Clock::duration by);
  // See Suspicion::Convince.
  void Convince(const std::string& node);

  // To be sent to `to` now, at most `most` > 2: this node's own record, what is
  // said of `to` if that is bad (so that it can refute; Lifeguard, section
  // IV.C), news, and, if `fill`, others in turn until there are `most`, with
  // whatever is said of `to` (so that it hears of a life that is not its own).
  enum class Fill { kNewsOnly, kOthersInTurn };
  std::vector<Record> Updates(const std::string& to, std::size_t most,
                              Fill fill);

  const Record& self() const { return self_; }
  const Member* Find(const std::string& node) const;
  const std::map<std::string, Member>& members() const { return members_; }
  // Those present, this node included.
  std::size_t size() const;

 private:
  Outcome Defend(const Record& news);
  bool MakeRoom();

  const Settings settings_;
  Record self_;
  std::map<std::string, Member> members_;  // By name; without this node.
  Gossip gossip_;
  std::string last_filled_;  // Where the next turn of others begins after.
};

}  // namespace hearsay::transport::swim
