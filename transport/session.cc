#include "transport/session.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <utility>

namespace hearsay::transport {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr const char* kOutOfTurn = "it sent a control message out of turn";

}  // namespace

std::shared_ptr<Session> Session::Dial(asio::io_context& io, Owner& owner,
                                       const std::string& address,
                                       std::chrono::milliseconds limit) {
  std::shared_ptr<Session> session(
      new Session(io, owner, Role::kDialler, address));
  session->StartTimer(limit);
  session->Resolve(address);
  return session;
}

std::shared_ptr<Session> Session::Accept(asio::io_context& io, Owner& owner,
                                         tcp::socket socket,
                                         std::chrono::milliseconds limit) {
  std::shared_ptr<Session> session(new Session(io, owner, Role::kAcceptor, {}));
  session->StartTimer(limit);
  session->Begin(std::move(socket));
  return session;
}

Session::Session(asio::io_context& io, Owner& owner, Role role,
                 std::string dialled)
    : owner_(owner),
      role_(role),
      dialled_(std::move(dialled)),
      resolver_(io),
      socket_(io),
      timer_(io) {}

void Session::StartTimer(std::chrono::milliseconds limit) {
  timer_.expires_after(limit);
  timer_.async_wait([self = shared_from_this(),
                     limit](const error_code& error) {
    if (!error && !self->established())
      self->End("no handshake within " + std::to_string(limit.count()) + " ms");
  });
}

void Session::Resolve(const std::string& address) {
  const auto parsed = ParseHostPort(address);
  if (!parsed || parsed->port == 0) {
    // Posted, so that the owner has the session before it hears of its end.
    asio::post(timer_.get_executor(), [self = shared_from_this(), address] {
      self->End("'" + address + "' is not HOST:PORT");
    });
    return;
  }
  error_code not_numeric;
  const auto ip = asio::ip::make_address(parsed->host, not_numeric);
  if (!not_numeric) {
    // Resolving costs a thread in Asio; numbers need none.
    const tcp::endpoint endpoint(ip, parsed->port);
    return Connect(
        tcp::resolver::results_type::create(endpoint, parsed->host, ""));
  }
  resolver_.async_resolve(
      parsed->host, std::to_string(parsed->port),
      tcp::resolver::numeric_service,
      [self = shared_from_this()](const error_code& error,
                                  const tcp::resolver::results_type& found) {
        if (self->ended()) return;
        if (error) return self->End(error.message());
        self->Connect(found);
      });
}

void Session::Connect(const tcp::resolver::results_type& endpoints) {
  asio::async_connect(socket_, endpoints,
                      [self = shared_from_this()](const error_code& error,
                                                  const tcp::endpoint&) {
                        if (self->ended()) return;
                        self->port_closed_ =
                            error == asio::error::connection_refused;
                        if (error) return self->End(error.message());
                        self->Begin(std::move(self->socket_));
                      });
}

void Session::Begin(tcp::socket socket) {
  const std::weak_ptr<Session> weak = weak_from_this();
  connection_ = Connection::Make(std::move(socket),
                                 {.on_frame =
                                      [weak](const std::string& body) {
                                        if (const auto self = weak.lock())
                                          self->OnFrame(body);
                                      },
                                  .on_end =
                                      [weak](const std::string& reason) {
                                        if (const auto self = weak.lock())
                                          self->End(reason);
                                      }});
  state_ = State::kHello;
  connection_->Start();
  if (role_ != Role::kDialler) return;
  const Hello hello = owner_.OurHello();
  attempt_ = hello.attempt;
  Send(hello);
}

void Session::OnFrame(const std::string& body) {
  if (ended()) return;
  auto message = DecodeControl(body);
  if (!message) return End("it sent a malformed control message");
  std::visit([this](auto& body_of) { Handle(std::move(body_of)); }, *message);
}

bool Session::Admit(const Hello& theirs) {
  theirs_ = theirs;
  const auto refuse = owner_.Examine(*this, theirs);
  if (!refuse) return true;
  Dismiss(*refuse);
  owner_.OnEnd(*this, "refused");
  return false;
}

void Session::Handle(Hello hello) {
  if (role_ != Role::kAcceptor || state_ != State::kHello)
    return End(kOutOfTurn);
  if (!Admit(hello)) return;
  state_ = State::kReady;
  given_ = owner_.GrantTo(hello);
  Send(Welcome{.hello = owner_.OurHello(), .grant = *given_});
}

void Session::Handle(Welcome welcome) {
  if (role_ != Role::kDialler || state_ != State::kHello)
    return End(kOutOfTurn);
  if (!Admit(welcome.hello)) return;
  state_ = State::kReady;
  grant_ = std::move(welcome.grant);
  given_ = owner_.GrantTo(*theirs_);
  Send(Ready{.grant = *given_});
  owner_.OnGranted(*this);
}

void Session::Handle(Ready ready) {
  if (role_ != Role::kAcceptor || state_ != State::kReady)
    return End(kOutOfTurn);
  grant_ = std::move(ready.grant);
  owner_.OnGranted(*this);
  if (!ended()) Establish();
}

void Session::Handle(const Refuse& refuse) {
  owner_.OnRefuse(*this, refuse);
  End("it refused this node");
}

void Session::Handle(Heartbeat heartbeat) {
  if (role_ == Role::kDialler && state_ == State::kReady) Establish();
  if (ended()) return;
  if (!established()) return End(kOutOfTurn);
  owner_.OnHeartbeat(*this, std::move(heartbeat));
}

void Session::Handle(const Leave&) {
  if (!established()) return End(kOutOfTurn);
  owner_.OnLeave(*this);
  End("it has left");
}

void Session::Handle(swim::Message message) {
  if (!established()) return End(kOutOfTurn);
  owner_.OnProbe(*this, std::move(message));
}

void Session::Handle(RoundMessage message) {
  if (!established()) return End(kOutOfTurn);
  owner_.OnRound(*this, std::move(message));
}

void Session::Establish() {
  if (state_ != State::kReady || !grant_) return;
  state_ = State::kEstablished;
  timer_.cancel();
  owner_.OnEstablished(*this);
}

bool Session::Send(const ControlMessage& message) {
  return connection_ && connection_->Send(EncodeControl(message));
}

void Session::Dismiss(const ControlMessage& last_words,
                      std::shared_ptr<void> until_closed) {
  if (ended()) return;
  Send(last_words);
  state_ = State::kEnded;
  timer_.cancel();
  if (connection_) connection_->Finish(std::move(until_closed));
}

void Session::Abandon() {
  if (ended()) return;
  state_ = State::kEnded;
  timer_.cancel();
  resolver_.cancel();
  error_code ignored;
  socket_.close(ignored);
  if (connection_) connection_->Close();
}

void Session::End(const std::string& reason) {
  if (ended()) return;
  const auto self = shared_from_this();
  Abandon();
  owner_.OnEnd(*this, reason);
}

}  // namespace hearsay::transport
