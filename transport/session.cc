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
constexpr std::string_view kDataLabel = "EXPORTER-hearsay-data-v1";
// A certificate that is good no more is noticed within this.
constexpr std::chrono::milliseconds kDoubtEvery{1000};

}  // namespace

std::shared_ptr<Session> Session::Dial(asio::io_context& io, Owner& owner,
                                       Credentials credentials,
                                       const std::string& address,
                                       std::chrono::milliseconds limit) {
  std::shared_ptr<Session> session(
      new Session(io, owner, Role::kDialler, std::move(credentials), address));
  session->StartTimer(limit);
  session->Resolve(address);
  return session;
}

std::shared_ptr<Session> Session::Accept(asio::io_context& io, Owner& owner,
                                         Credentials credentials,
                                         tcp::socket socket,
                                         std::chrono::milliseconds limit) {
  std::shared_ptr<Session> session(
      new Session(io, owner, Role::kAcceptor, std::move(credentials), {}));
  session->StartTimer(limit);
  session->Begin(std::move(socket));
  return session;
}

Session::Session(asio::io_context& io, Owner& owner, Role role,
                 Credentials credentials, std::string dialled)
    : owner_(owner),
      role_(role),
      credentials_(std::move(credentials)),
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
  std::unique_ptr<tls::Channel> channel;
  if (credentials_)
    channel = std::make_unique<tls::Channel>(
        credentials_->current(), role_ == Role::kDialler
                                     ? tls::Channel::Role::kDialler
                                     : tls::Channel::Role::kAcceptor);
  connection_ = Connection::Make(std::move(socket), std::move(channel),
                                 {.on_ready =
                                      [weak] {
                                        if (const auto self = weak.lock())
                                          self->Greet();
                                      },
                                  .on_frame =
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
}

void Session::Greet() {
  if (ended() || role_ != Role::kDialler) return;
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

// A name is worth what stands behind it: nothing is remembered under a name
// that the certificate does not have.
bool Session::IsWhoItSays(const Hello& theirs) {
  const tls::Channel* channel = connection_->channel();
  if (channel == nullptr || channel->PeerIs(theirs.node)) return true;
  distrusted_ = true;
  Dismiss(Refuse{.kind = Refuse::Kind::kIdentity,
                 .hello = owner_.OurHello(),
                 .other_address = {},
                 .newcomer = true});
  owner_.OnEnd(*this, "it calls itself '" + theirs.node +
                          "', but its certificate is of " +
                          channel->ShowPeer());
  return false;
}

bool Session::Admit(const Hello& theirs) {
  if (!IsWhoItSays(theirs)) return false;
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
  const tls::Channel* channel = connection_->channel();
  if (channel != nullptr && !channel->PeerIs(refuse.hello.node))
    return End("it refused this node, and calls itself '" + refuse.hello.node +
               "', but its certificate is of " + channel->ShowPeer());
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
  KeepDoubting();
  owner_.OnEstablished(*this);
}

void Session::KeepDoubting() {
  if (!credentials_) return;
  timer_.expires_after(kDoubtEvery);
  timer_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!self || error || !self->established()) return;
    const auto doubt =
        self->connection_->channel()->Doubt(self->credentials_->current());
    if (!doubt) return self->KeepDoubting();
    self->distrusted_ = true;
    self->End(*doubt);
  });
}

LaneTerms Session::terms() const {
  LaneTerms terms{.token = given_->data_token,
                  .grant = *grant_,
                  .chunk_bytes = theirs_->chunk_bytes,
                  .secret = std::nullopt};
  if (const tls::Channel* channel = connection_->channel())
    terms.secret = EdgeSecret{.bytes = channel->Export(kDataLabel),
                              .dialler = role_ == Role::kDialler};
  return terms;
}

std::string Session::certified_name() const {
  if (!connection_ || connection_->channel() == nullptr) return {};
  // One that no node could have is nobody's.
  for (const auto& name : connection_->channel()->CertifiedNames())
    if (IsName(name)) return name;
  return {};
}

std::string Session::remote_ip() const {
  return connection_ ? connection_->remote_ip() : std::string();
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
