// Who is there: listens, dials, keeps one session a pair, and asks the failure
// detector (swim/swim.h) who lives; its gossip makes a seed suffice to meet
// everyone. Three files: control_plane.cc keeps the sessions, admission.cc lets
// nodes in or does not, liveness.cc decides who is there.
//
// Threads: all on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "transport/data_lanes.h"
#include "transport/dial_targets.h"
#include "transport/listener.h"
#include "transport/member_table.h"
#include "transport/session.h"
#include "transport/swim/swim.h"
#include "transport/transport.h"

namespace hearsay::transport {

class ControlPlane final : public std::enable_shared_from_this<ControlPlane>,
                           private Session::Owner,
                           private swim::Swim::World {
 public:
  // Binds. Throws: std::system_error that names the address,
  // std::invalid_argument for options that cannot work.
  ControlPlane(boost::asio::io_context& io, const Options& options,
               const Callbacks& callbacks, DataLanes& lanes);
  ~ControlPlane();
  ControlPlane(const ControlPlane&) = delete;
  ControlPlane& operator=(const ControlPlane&) = delete;

  // Listens and dials. `worker_address` goes into every grant; data sockets
  // that come to the listener go to `on_data`.
  void Start(std::string worker_address, Listener::OnAccept on_data);
  // Says goodbye to all and stops. `done` when all have heard it; bounded.
  void Leave(std::function<void()> done);
  void SetReport(std::string report) { report_ = std::move(report); }
  // See Transport.
  bool Join(const std::string& address);
  ForceLeaveOutcome ForceLeave(const std::string& node);
  // The data lane failed although the session lives: both begin anew.
  void OnLaneBroken(const std::string& node, const std::string& reason);
  // About rounds of collectives, to the member's current session. False if
  // there is none.
  bool Tell(const std::string& node, const ControlMessage& message);
  void OnRounds(std::function<void(const std::string&, RoundMessage)> handle) {
    on_round_ = std::move(handle);
  }
  // Its data came, with our token: it has accepted this node.
  void OnProof(const std::string& node);

  std::vector<Member> members() const;
  std::size_t connected_members() const { return sessions_.size(); }
  const Listener& listener() const { return *listener_; }

 private:
  struct Token {
    std::uint64_t incarnation;
    std::uint64_t value;
  };

  void OnAccepted(boost::asio::ip::tcp::socket socket);
  void ScheduleTick();
  void Tick();
  void SendHeartbeats();
  void Dial(Clock::time_point now);
  void Watch(Clock::time_point now);
  // Passes on what the failure detector has said. After each call to it, never
  // from within.
  void Settle();
  void Apply(const swim::Record& verdict);
  void LearnAddress(const swim::Record& record);
  void OnPortClosed(const std::string& node, const std::string& address);
  bool IsCurrent(const Session& session) const;
  void Lose(const std::string& node, const std::string& reason);
  // Of two sessions of one pair, the one that both ends keep.
  bool IsPreferred(const Session& session, const Session& over) const;
  bool IsDuplicate(const Hello& theirs) const;
  Refuse MakeRefuse(Refuse::Kind kind, const Hello& theirs);
  void NoteRefusal(const Hello& theirs, const std::string& dialled,
                   Refuse::Kind kind, const std::string& text);
  void TellOwner(Refuse::Kind kind, const std::string& text);
  // Another node is said to have this one's name, there.
  void LookForDouble(const std::string& address);
  // One of the two does not take the other for a member.
  void NoteDistrust(const Session& session, const std::string& reason);
  void Install(Session& session);
  Hello HelloNow() const;

  // Session::Owner
  Hello OurHello() override;
  std::optional<Refuse> Examine(Session& session, const Hello& theirs) override;
  Grant GrantTo(const Hello& theirs) override;
  void OnGranted(Session& session) override;
  void OnEstablished(Session& session) override;
  void OnHeartbeat(Session& session, Heartbeat heartbeat) override;
  void OnLeave(Session& session) override;
  void OnProbe(Session& session, swim::Message message) override;
  void OnRound(Session& session, RoundMessage message) override;
  void OnRefuse(Session& session, const Refuse& refuse) override;
  void OnEnd(Session& session, const std::string& reason) override;

  // swim::Swim::World
  bool Send(const std::string& to, swim::Message message) override;
  void OnVerdict(const swim::Member& member) override;
  void OnRefuted() override;

  boost::asio::io_context& io_;
  const Options options_;
  const Callbacks callbacks_;
  DataLanes& lanes_;
  const std::uint64_t incarnation_;
  const Clock::time_point started_;
  const std::shared_ptr<Listener> listener_;
  boost::asio::steady_timer ticker_;
  std::function<void(const std::string&, RoundMessage)> on_round_;
  std::string worker_address_;
  std::string report_;
  MemberTable members_;
  swim::Swim swim_;
  std::deque<swim::Record> verdicts_;  // Not passed on yet.
  DialTargets targets_;
  std::set<std::string> own_addresses_;  // Dialled, and found to be this node.
  std::map<std::string, Token> tokens_;  // By node: what it may send with.
  std::map<std::string, std::shared_ptr<Session>> sessions_;  // Established.
  std::set<std::shared_ptr<Session>> all_;  // These and those on the way.
  std::set<std::string> told_;              // Reasons given to on_refused.
  std::uint64_t attempts_ = 0;
  Clock::time_point next_heartbeat_;
  Clock::time_point last_tick_;
  Clock::time_point resumed_;
  bool stopped_ = false;
};

}  // namespace hearsay::transport
