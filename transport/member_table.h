// The other nodes of the cluster as this one sees them: pure bookkeeping over a
// clock that is passed in. Tells `on_change` whenever a state or an incarnation
// changes.
//
// Named members are those with which a session has been established once.
// Refused nodes are kept beside them, by address, since their names may clash.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "transport/transport.h"

namespace hearsay::transport {

class MemberTable {
 public:
  using OnChange = std::function<void(const Member&)>;

  MemberTable(const Timing& timing, OnChange on_change);

  // A session with it is established.
  void OnAlive(const std::string& node, const std::string& address,
               std::uint64_t incarnation, const std::string& lane,
               Clock::time_point now);
  // False if that member is unknown.
  bool OnHeartbeat(const std::string& node, std::string report,
                   Clock::time_point now);
  void OnFailed(const std::string& node, const std::string& error,
                Clock::time_point now);
  void OnLeft(const std::string& node, Clock::time_point now);
  // Its last error only; its state is somebody else's news.
  void NoteError(const std::string& node, const std::string& error);

  // True if this is news. A known member that is not connected becomes refused
  // itself if `same_cluster`; any other node is listed beside.
  bool OnRefused(const std::string& node, const std::string& address,
                 const std::string& error, bool same_cluster,
                 Clock::time_point now);
  // The node at this address is no longer refused.
  void ForgetRefused(const std::string& address);

  // Members whose silence has become too long, in the order of their names;
  // the caller ends their sessions and calls OnFailed. Those silent for less
  // become suspect. `resumed`: nothing before it counts as silence (this
  // process itself did not run).
  std::vector<std::string> Silent(Clock::time_point now,
                                  Clock::time_point resumed);

  // Connected: alive or suspect.
  bool IsPresent(const std::string& node) const;
  // Heard within two heartbeats: certainly not dead.
  bool IsFresh(const std::string& node, Clock::time_point now) const;
  const Member* Find(const std::string& node) const;
  // Sorted by name.
  std::vector<Member> named() const;
  const std::map<std::string, Member>& refused() const { return refused_; }

 private:
  void Set(Member& member, MemberState state, const std::string& error,
           Clock::time_point now);

  const Timing timing_;
  const OnChange on_change_;
  std::map<std::string, Member> named_;    // By name.
  std::map<std::string, Member> refused_;  // By address.
};

}  // namespace hearsay::transport
