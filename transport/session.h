// The life of one control connection: dial or accept, handshake, messages, end.
//
//   dialler            acceptor
//   Hello      ---->            judges; knows who asks
//              <----   Welcome  (or Refuse)
//   Ready      ---->            established; opens its data lane
//              <----   Heartbeat, established
//
// A Welcome and a Ready carry the grants that data needs. Until it is
// established a session may last no longer than Timing.handshake.
//
// With credentials all of it is in TLS, and the peer is who its certificate
// says: that is looked at again as long as the session lasts, so that one which
// has expired or was revoked since ends it.
//
// Threads: all on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>

#include "transport/address.h"
#include "transport/connection.h"
#include "transport/control_messages.h"
#include "transport/data_lanes.h"

namespace hearsay::transport {

class Session : public std::enable_shared_from_this<Session> {
 public:
  enum class Role { kDialler, kAcceptor };

  // Who decides and hears. It must outlive the session or call Abandon on it.
  class Owner {
   public:
    virtual Hello OurHello() = 0;
    // Nothing: accepted. A Refuse is sent by the session.
    virtual std::optional<Refuse> Examine(Session& session,
                                          const Hello& theirs) = 0;
    virtual Grant GrantTo(const Hello& theirs) = 0;
    // Both grants are known: data may come before OnEstablished.
    virtual void OnGranted(Session& session) = 0;
    virtual void OnEstablished(Session& session) = 0;
    virtual void OnHeartbeat(Session& session, Heartbeat heartbeat) = 0;
    virtual void OnLeave(Session& session) = 0;
    virtual void OnProbe(Session& session, swim::Message message) = 0;
    virtual void OnRound(Session& session, RoundMessage message) = 0;
    // The peer has refused this node.
    virtual void OnRefuse(Session& session, const Refuse& refuse) = 0;
    // Once, last; not after Abandon. Also after OnLeave and OnRefuse.
    virtual void OnEnd(Session& session, const std::string& reason) = 0;

   protected:
    ~Owner() = default;
  };

  // Null credentials: in the clear.
  using Credentials = std::shared_ptr<const tls::Credentials>;

  static std::shared_ptr<Session> Dial(boost::asio::io_context& io,
                                       Owner& owner, Credentials credentials,
                                       const std::string& address,
                                       std::chrono::milliseconds limit);
  static std::shared_ptr<Session> Accept(boost::asio::io_context& io,
                                         Owner& owner, Credentials credentials,
                                         boost::asio::ip::tcp::socket socket,
                                         std::chrono::milliseconds limit);

  // False if it could not be queued: the peer does not read, or it is closing.
  bool Send(const ControlMessage& message);
  // The peer has proved otherwise that it is established (its data came).
  void Establish();
  // Ends with last words; OnEnd is not called. `until_closed` is let go of when
  // they have been read, or could not be.
  void Dismiss(const ControlMessage& last_words,
               std::shared_ptr<void> until_closed = nullptr);
  // Ends at once; OnEnd is not called.
  void Abandon();

  Role role() const { return role_; }
  // As dialled; "" for an acceptor.
  const std::string& dialled() const { return dialled_; }
  bool established() const { return state_ == State::kEstablished; }
  bool ended() const { return state_ == State::kEnded; }
  // The other end is, or will be once it has read what was sent, established:
  // it takes a Leave.
  bool takes_leave() const {
    return established() || (role_ == Role::kDialler && grant_ && !ended());
  }
  // Requires: OnGranted has been called (theirs: Examine).
  const Hello& theirs() const { return *theirs_; }
  const Grant& grant() const { return *grant_; }
  // Requires: the same. What GrantTo gave for this session.
  const Grant& given() const { return *given_; }
  // Requires: the same. What the two have agreed for their arrays.
  LaneTerms terms() const;
  // The dialler's count: of two connections dialled by one node both ends keep
  // the one dialled later.
  std::uint64_t attempt() const {
    return role_ == Role::kDialler ? attempt_ : theirs_->attempt;
  }
  // Requires nothing; if not, the peer may be anybody.
  bool knows_peer() const { return theirs_.has_value(); }
  // Nobody listens at the address that was dialled.
  bool port_closed() const { return port_closed_; }

  // Of one that has ended: one of the two does not take the other for whom it
  // says it is, and will not soon.
  bool refused() const {
    return distrusted_ || (connection_ && connection_->refused());
  }
  // The name in the peer's certificate, if a CA of ours has signed it: even of
  // one that was refused; else "".
  std::string certified_name() const;
  // "" before there is a connection.
  std::string remote_ip() const;

 private:
  enum class State { kConnecting, kHello, kReady, kEstablished, kEnded };

  Session(boost::asio::io_context& io, Owner& owner, Role role,
          Credentials credentials, std::string dialled);
  void StartTimer(std::chrono::milliseconds limit);
  void Resolve(const std::string& address);
  void Connect(const boost::asio::ip::tcp::resolver::results_type& endpoints);
  void Begin(boost::asio::ip::tcp::socket socket);
  void Greet();
  void OnFrame(const std::string& body);
  void Handle(Hello hello);
  void Handle(Welcome welcome);
  void Handle(Ready ready);
  void Handle(const Refuse& refuse);
  void Handle(Heartbeat heartbeat);
  void Handle(const Leave& leave);
  void Handle(swim::Message message);
  void Handle(RoundMessage message);
  // False if the peer was refused.
  bool Admit(const Hello& theirs);
  bool IsWhoItSays(const Hello& theirs);
  void KeepDoubting();
  void End(const std::string& reason);

  Owner& owner_;
  const Role role_;
  const Credentials credentials_;
  const std::string dialled_;
  boost::asio::ip::tcp::resolver resolver_;
  boost::asio::ip::tcp::socket socket_;  // Until connected.
  boost::asio::steady_timer timer_;
  std::shared_ptr<Connection> connection_;
  State state_ = State::kConnecting;
  std::optional<Hello> theirs_;
  std::optional<Grant> grant_;  // from the peer, to us
  std::optional<Grant> given_;  // from us, to the peer
  std::uint64_t attempt_ = 0;
  bool port_closed_ = false;
  bool distrusted_ = false;
};

}  // namespace hearsay::transport
