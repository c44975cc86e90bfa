// Decides who is alive, together with the other members: probes one of them in
// every interval, asks others to probe it where that is not answered, suspects
// it, and lets it refute. Pure: no I/O; clock, randomness and network are
// given.
//
//   ping, ack           section 3.1 of SWIM; here the ack may come late
//   ping request        the same, by k others in our stead
//   nack                Lifeguard, IV.A: the helper is well, the target silent
//   local health        Lifeguard, IV.A: own trouble makes us slow to accuse
//   suspicion           SWIM 4.2, Lifeguard IV.B; see roster.h, suspicion.h
//   round robin         SWIM 4.3: every member is probed within n intervals
//
// A connection that ends is a probe that fails at once; whether the *member*
// has failed is still for the others to confirm and for it to deny. When this
// very process has not run for a while (SIGSTOP, a laptop's sleep) it finds
// every deadline passed and every connection closed: it takes that upon itself.
//
// Sources: Das, Gupta, Motivala. "SWIM: Scalable Weakly-consistent Infection-
// style Process Group Membership Protocol" (DSN 2002); Dadgar, Phillips,
// Currey. "Lifeguard: Local Health Awareness for More Accurate Failure
// Detection" (2017, arXiv:1707.00788); behaviour of hashicorp/memberlist.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "transport/swim/local_health.h"
#include "transport/swim/message.h"
#include "transport/swim/roster.h"

namespace hearsay::transport::swim {

class Swim {
 public:
  // What surrounds it. None of these may call back into the Swim that calls.
  class World {
   public:
    // False: there is no connection to it.
    virtual bool Send(const std::string& to, Message message) = 0;
    // The record of a member has changed.
    virtual void OnVerdict(const Member& member) = 0;
    // Others think ill of this node: tell them soon.
    virtual void OnRefuted() = 0;

   protected:
    ~World() = default;
  };

  Swim(const Settings& settings, Record self, std::uint64_t seed, World& world);

  // Often: several times in a probe_timeout.
  void Tick(Clock::time_point now);
  void Receive(const std::string& from, const Message& message,
               Clock::time_point now);
  void Learn(const std::vector<Record>& updates, Clock::time_point now);
  // What a message of another kind (a heartbeat) tells `to`.
  std::vector<Record> Updates(const std::string& to, std::size_t most);

  // A connection to it has been made: it lives, whoever says otherwise can be
  // told so by itself.
  void OnConnected(const std::string& node, const std::string& address,
                   std::uint64_t life, Clock::time_point now);
  // The connection to it has ended.
  void OnCut(const std::string& node, Clock::time_point now);
  // Nothing has come from it for a while: it is probed before its turn.
  void OnSilent(const std::string& node, Clock::time_point now);
  // Nobody listens at its address.
  void OnPortClosed(const std::string& node) { roster_.Convince(node); }
  // It has said goodbye.
  void OnLeft(const std::string& node, Clock::time_point now);
  // An operator says that it will not come back. False if it is unknown or, as
  // far as known here, alive.
  bool ForceLeave(const std::string& node, Clock::time_point now);
  // This node says goodbye; the farewell itself is the caller's.
  void Leave() { roster_.Leave(); }

  const Record& self() const { return roster_.self(); }
  const Member* Find(const std::string& node) const {
    return roster_.Find(node);
  }
  const std::map<std::string, Member>& members() const {
    return roster_.members();
  }
  int health() const { return health_.score(); }

 private:
  struct Probe {
    std::string target;
    Clock::time_point ask_others;
    Clock::time_point verdict;
    bool direct = false;  // our own ping is on its way
    bool asked = false;
    bool urgent = false;  // began when the connection ended
    std::set<std::string> helpers;
    std::set<std::string> nacks;  // of `helpers`
  };
  // A probe in the stead of another.
  struct Relay {
    std::string asker;
    std::uint64_t probe = 0;
    std::string target;
    Clock::time_point deadline;
  };

  bool Learn(const Record& news, Clock::time_point now);
  bool Send(const std::string& to, Message::Kind kind, std::uint64_t probe,
            const std::string& target = {});
  void NoticePause(Clock::time_point now);
  void Begin(const std::string& target, Clock::time_point now);
  void AskOthers(std::uint64_t id, Probe& probe);
  // True when there is nothing left to wait for.
  bool IsLost(const Probe& probe, Clock::time_point now) const;
  void Conclude(std::uint64_t id, Clock::time_point now);
  void AdvanceProbes(Clock::time_point now);
  void EndRelays(Clock::time_point now);
  std::string NextTarget();
  bool IsProbed(const std::string& node) const;
  void OnPingRequest(const std::string& from, const Message& message,
                     Clock::time_point now);
  void OnAck(const std::string& from, std::uint64_t id);
  void OnNack(const std::string& from, std::uint64_t id, Clock::time_point now);

  const Settings settings_;
  World& world_;
  std::mt19937_64 random_;  // Spreads load; no secret depends on it.
  Roster roster_;
  LocalHealth health_;
  std::map<std::uint64_t, Probe> probes_;
  std::map<std::uint64_t, Relay> relays_;
  std::uint64_t last_probe_ = 0;
  std::vector<std::string> order_;  // Of the round that is under way.
  std::optional<Clock::time_point> last_tick_;
  Clock::time_point next_probe_;
  Clock::time_point accuse_from_;  // After a pause, time to reconnect.
};

}  // namespace hearsay::transport::swim
