// The other nodes of the cluster as this one sees them: what is said of each
// (the failure detector's verdict) beside this node's own edge to it. Pure
// bookkeeping over a clock that is passed in. Tells `on_change` whenever a
// state, an edge or an incarnation changes.
//
// Named members are those of which a member has spoken. Refused nodes are kept
// beside them, by address, since their names may clash.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "transport/swim/record.h"
#include "transport/transport.h"

namespace hearsay::transport {

class MemberTable {
 public:
  using OnChange = std::function<void(const Member&)>;

  MemberTable(const Timing& timing, OnChange on_change);

  // The failure detector's word on a member.
  void OnVerdict(const swim::Record& record, Clock::time_point now);

  struct Connection {
    std::string address;
    std::uint64_t incarnation = 0;
    std::string lane;
  };
  // A session with it is established. It is alive, unless `verdict` knows
  // otherwise (which it is about to deny).
  void OnConnected(const std::string& node, const Connection& connection,
                   swim::State verdict, Clock::time_point now);
  // Something came over the session. False if that member is unknown.
  bool OnHeard(const std::string& node, Clock::time_point now);
  void OnReport(const std::string& node, std::string report);
  // The session has ended; "" if in order.
  void OnCut(const std::string& node, const std::string& error,
             Clock::time_point now);
  // Its last error only; its state is somebody else's news.
  void NoteError(const std::string& node, const std::string& error);

  // True if this is news. A known member that is not connected becomes refused
  // itself if `same_cluster`; any other node is listed beside.
  bool OnRefused(const std::string& node, const std::string& address,
                 const std::string& error, bool same_cluster,
                 Clock::time_point now);

  // The node at this address is no longer refused.
  void ForgetRefused(const std::string& address);

  // Edges on which nothing comes, in the order of names.
  struct Silence {
    std::vector<std::string> begun;   // since Timing.silent_after: now silent
    std::vector<std::string> beyond;  // Timing.give_up: the caller ends them
  };
  // `resumed`: nothing before it counts as silence (this process itself did
  // not run).
  Silence FindSilence(Clock::time_point now, Clock::time_point resumed);

  bool IsConnected(const std::string& node) const;
  // Heard within two heartbeats: certainly not dead.
  bool IsFresh(const std::string& node, Clock::time_point now) const;
  const Member* Find(const std::string& node) const;
  // Sorted by name.
  std::vector<Member> named() const;
  const std::map<std::string, Member>& refused() const { return refused_; }

 private:
  Member& Add(const std::string& node);
  void Tell(const Member& member) const;
  // True if this is news.
  static bool SetState(Member& member, MemberState state,
                       const std::string& said_by, Clock::time_point now);
  static bool SetEdge(Member& member, EdgeState edge, Clock::time_point now);

  const Timing timing_;
  const OnChange on_change_;
  std::map<std::string, Member> named_;    // By name.
  std::map<std::string, Member> refused_;  // By address.
};

}  // namespace hearsay::transport
