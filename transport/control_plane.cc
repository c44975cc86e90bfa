#include "transport/control_plane.h"

#include <algorithm>
#include <random>
#include <utility>

namespace hearsay::transport {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Strangers that have not said who they are, and dials on the way.
constexpr std::size_t kMaxHandshakes = 64;
constexpr std::size_t kMaxDialling = 32;
constexpr Milliseconds kTickMin{5};
constexpr Milliseconds kTickMax{50};

std::uint64_t RandomBits() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

// The system's clock is read here alone: it only has to order the processes of
// one name, and one that was ahead is outlived (swim/roster.cc).
swim::Record SelfRecord(const std::string& node, const std::string& address) {
  const auto now = std::chrono::duration_cast<Milliseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  return {.node = node,
          .address = address,
          .life = swim::MakeLife(static_cast<std::uint64_t>(now.count()),
                                 RandomBits()),
          .incarnation = 0,
          .state = swim::State::kAlive,
          .said_by = node};
}

}  // namespace

ControlPlane::ControlPlane(asio::io_context& io, const Options& options,
                           const Callbacks& callbacks, DataLanes& lanes)
    : io_(io),
      options_(options),
      callbacks_(callbacks),
      lanes_(lanes),
      incarnation_(RandomBits()),
      started_(Clock::now()),
      listener_(
          std::make_shared<Listener>(io, options.listen, options.advertise)),
      ticker_(io),
      members_(options.timing, callbacks.on_member),
      swim_(options.timing.swim,
            SelfRecord(options.node, listener_->advertised()), RandomBits(),
            *this),
      targets_(options.timing.retry_min, options.timing.retry_max,
               incarnation_) {
  for (const auto& peer : options_.peers)
    if (peer != listener_->advertised()) targets_.AddConfigured(peer);
}

ControlPlane::~ControlPlane() {
  listener_->Close();
  for (const auto& session : all_) session->Abandon();
}

void ControlPlane::Start(std::string worker_address,
                         Listener::OnAccept on_data) {
  worker_address_ = std::move(worker_address);
  last_tick_ = resumed_ = next_heartbeat_ = Clock::now();
  listener_->Start(
      [weak = weak_from_this()](tcp::socket socket) {
        if (const auto self = weak.lock()) self->OnAccepted(std::move(socket));
      },
      std::move(on_data));
  Tick();
}

void ControlPlane::OnAccepted(tcp::socket socket) {
  const auto strangers =
      std::count_if(all_.begin(), all_.end(), [](const auto& session) {
        return session->role() == Session::Role::kAcceptor &&
               !session->established();
      });
  if (static_cast<std::size_t>(strangers) >= kMaxHandshakes) return;
  all_.insert(Session::Accept(io_, *this, options_.tls, std::move(socket),
                              options_.timing.handshake));
}

void ControlPlane::ScheduleTick() {
  const auto& timing = options_.timing;
  ticker_.expires_after(
      std::clamp(std::min(timing.heartbeat, timing.swim.probe_timeout) / 4,
                 kTickMin, kTickMax));
  ticker_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (self && !error && !self->stopped_) self->Tick();
  });
}

void ControlPlane::Tick() {
  const auto now = Clock::now();
  // After a pause of this very process (SIGSTOP, a laptop's sleep) everyone
  // looks silent; their heartbeats are waiting to be read.
  if (now - last_tick_ > options_.timing.swim.probe_timeout) resumed_ = now;
  last_tick_ = now;
  Watch(now);
  if (stopped_) return;
  if (now >= next_heartbeat_) SendHeartbeats();
  Dial(now);
  ScheduleTick();
}

void ControlPlane::SendHeartbeats() {
  next_heartbeat_ = Clock::now() + options_.timing.heartbeat;
  for (const auto& [node, session] : sessions_)
    session->Send(Heartbeat{.report = report_,
                            .updates = swim_.Updates(node, kMaxUpdates)});
}

void ControlPlane::Dial(Clock::time_point now) {
  auto dialling = static_cast<std::size_t>(
      std::count_if(all_.begin(), all_.end(), [](const auto& session) {
        return session->role() == Session::Role::kDialler &&
               !session->established();
      }));
  for (const auto& address : targets_.Due(now)) {
    if (dialling >= kMaxDialling) return;
    if (sessions_.contains(targets_.all().at(address).node)) continue;
    targets_.OnDialling(address);
    all_.insert(Session::Dial(io_, *this, options_.tls, address,
                              options_.timing.handshake));
    ++dialling;
  }
}

void ControlPlane::Lose(const std::string& node, const std::string& reason) {
  const auto now = Clock::now();
  const auto found = sessions_.find(node);
  if (found != sessions_.end()) {
    const auto session = found->second;
    sessions_.erase(found);
    all_.erase(session);
    session->Abandon();
    targets_.OnConnected(session->dialled());
  }
  tokens_.erase(node);
  targets_.OnLost(node, now);
  lanes_.Close(node, reason);
  members_.OnCut(node, reason, now);
  swim_.OnCut(node, now);
}

void ControlPlane::OnLaneBroken(const std::string& node,
                                const std::string& reason) {
  if (stopped_) return;
  Lose(node, "its data connection failed: " + reason);
  Settle();
}

void ControlPlane::OnProof(const std::string& node) {
  if (sessions_.contains(node)) return;
  std::vector<std::shared_ptr<Session>> waiting;
  for (const auto& session : all_)
    if (session->knows_peer() && session->theirs().node == node)
      waiting.push_back(session);
  for (const auto& session : waiting) session->Establish();
}

bool ControlPlane::IsPreferred(const Session& session,
                               const Session& over) const {
  const bool we_are_smaller = options_.node < session.theirs().node;
  const auto by_smaller = [we_are_smaller](const Session& one) {
    return (one.role() == Session::Role::kDialler) == we_are_smaller;
  };
  if (by_smaller(session) != by_smaller(over)) return by_smaller(session);
  return session.attempt() > over.attempt();
}

Hello ControlPlane::HelloNow() const {
  const auto age =
      std::chrono::duration_cast<Milliseconds>(Clock::now() - started_);
  return {.protocol = kProtocolVersion,
          .cluster = options_.cluster,
          .node = options_.node,
          .incarnation = incarnation_,
          .model = options_.model_fingerprint,
          .address = listener_->advertised(),
          .age_ms = static_cast<std::uint64_t>(age.count()),
          .array_bytes = options_.array_bytes,
          .chunk_bytes = options_.chunk_bytes,
          .attempt = attempts_,
          .life = swim_.self().life};
}

Hello ControlPlane::OurHello() {
  ++attempts_;
  return HelloNow();
}

Grant ControlPlane::GrantTo(const Hello& theirs) {
  auto& token = tokens_[theirs.node];
  if (token.value == 0 || token.incarnation != theirs.incarnation)
    token = {.incarnation = theirs.incarnation, .value = RandomBits() | 1};
  return {.data_token = token.value, .worker_address = worker_address_};
}

void ControlPlane::OnGranted(Session& session) {
  const auto token = tokens_.find(session.theirs().node);
  // The lane was closed while this handshake was on its way.
  if (token == tokens_.end() ||
      token->second.value != session.given().data_token)
    return;
  // Both ends keep the other session: its terms stay.
  const auto found = sessions_.find(session.theirs().node);
  if (found != sessions_.end() &&
      found->second->theirs().incarnation == session.theirs().incarnation &&
      !IsPreferred(session, *found->second))
    return;
  lanes_.Open(session.theirs().node, session.terms());
}

void ControlPlane::OnEstablished(Session& session) {
  const auto self = session.shared_from_this();
  const Hello& theirs = session.theirs();
  const auto token = tokens_.find(theirs.node);
  if (token == tokens_.end() ||
      token->second.value != session.given().data_token) {
    session.Abandon();
    return OnEnd(session, "its grant was withdrawn");
  }
  const auto found = sessions_.find(theirs.node);
  if (found == sessions_.end()) return Install(session);
  const auto other = found->second;
  if (IsDuplicate(theirs)) {
    session.Dismiss(MakeRefuse(Refuse::Kind::kDuplicateName, theirs));
    return OnEnd(session, "another node has its name");
  }
  const bool same = other->theirs().incarnation == theirs.incarnation;
  if (same && !IsPreferred(session, *other)) {
    session.Dismiss(MakeRefuse(Refuse::Kind::kSuperseded, theirs));
    all_.erase(self);
    targets_.OnConnected(session.dialled());
    return;
  }
  all_.erase(other);
  targets_.OnConnected(other->dialled());
  Install(session);  // First, so that the peer has it before the other ends.
  other->Dismiss(MakeRefuse(Refuse::Kind::kSuperseded, theirs));
}

void ControlPlane::Install(Session& session) {
  const Hello& theirs = session.theirs();
  sessions_[theirs.node] = session.shared_from_this();
  targets_.OnConnected(session.dialled());
  targets_.OnMoved(theirs.node, theirs.address);
  members_.ForgetRefused(session.remote_ip());
  targets_.AddLearned(theirs.address, theirs.node);
  const std::string lane = lanes_.Open(theirs.node, session.terms());
  const auto now = Clock::now();
  swim_.OnConnected(theirs.node, theirs.address, theirs.life, now);
  if (callbacks_.on_greeting) callbacks_.on_greeting(theirs.node);
  SendHeartbeats();  // Establishes the dialler, and tells all about it.
  const auto* member = swim_.Find(theirs.node);
  members_.OnConnected(
      theirs.node,
      {.address = theirs.address,
       .incarnation = theirs.incarnation,
       .lane = lane},
      member == nullptr ? swim::State::kAlive : member->record.state, now);
  Settle();
}

bool ControlPlane::IsCurrent(const Session& session) const {
  const auto found = sessions_.find(session.theirs().node);
  return found != sessions_.end() && found->second.get() == &session;
}

bool ControlPlane::Tell(const std::string& node,
                        const ControlMessage& message) {
  const auto found = sessions_.find(node);
  return !stopped_ && found != sessions_.end() && found->second->Send(message);
}

void ControlPlane::OnRound(Session& session, RoundMessage message) {
  if (IsCurrent(session) && on_round_)
    on_round_(session.theirs().node, std::move(message));
}

void ControlPlane::OnEnd(Session& session, const std::string& reason) {
  const auto self = session.shared_from_this();
  all_.erase(self);
  const std::string node = session.knows_peer() ? session.theirs().node : "";
  const auto found = sessions_.find(node);
  if (found != sessions_.end() && found->second == self) {
    Lose(node, reason);
    if (session.refused()) NoteDistrust(session, reason);
    return Settle();
  }
  const std::string& dialled = session.dialled();
  const auto target = targets_.all().find(dialled);
  if (target != targets_.all().end() && target->second.dialling) {
    const std::string name = target->second.node;
    if (session.port_closed()) OnPortClosed(name, dialled);
    targets_.OnFailed(dialled, "dialling " + dialled + ": " + reason,
                      Clock::now());
    if (session.refused())
      targets_.OnRefused(dialled, target->second.last_error, Clock::now());
    if (!name.empty() && !sessions_.contains(name))
      members_.NoteError(name, target->second.last_error);
  }
  if (session.refused()) NoteDistrust(session, reason);
  // A lane that was opened for a session which then failed.
  const bool wanted =
      node.empty() || sessions_.contains(node) ||
      std::any_of(all_.begin(), all_.end(), [&node](const auto& other) {
        return other->knows_peer() && other->theirs().node == node;
      });
  if (wanted) return;
  tokens_.erase(node);
  lanes_.Close(node, reason);
}

void ControlPlane::Leave(std::function<void()> done) {
  stopped_ = true;
  // Posted when the last session lets go of it.
  const std::shared_ptr<void> all_heard(
      nullptr,
      [&io = io_, done = std::move(done)](void*) { asio::post(io, done); });
  listener_->Close();
  ticker_.cancel();
  swim_.Leave();
  SendHeartbeats();  // They carry its record, to be passed on.
  for (const auto& session : all_) {
    if (session->takes_leave())
      session->Dismiss(hearsay::transport::Leave{}, all_heard);
    else
      session->Abandon();
  }
  all_.clear();
  sessions_.clear();
}

std::vector<Member> ControlPlane::members() const {
  std::vector<Member> list = members_.named();
  for (const auto& [address, member] : members_.refused())
    list.push_back(member);
  for (const auto& [address, target] : targets_.all()) {
    if (members_.Find(target.node) != nullptr) continue;
    if (std::any_of(list.begin(), list.end(), [&](const Member& member) {
          return member.address == address;
        }))
      continue;
    Member member;
    member.node = target.node;
    member.address = address;
    member.state =
        target.refused ? MemberState::kRefused : MemberState::kFailed;
    member.last_error = target.last_error;
    member.since = target.since;
    list.push_back(std::move(member));
  }
  std::stable_sort(
      list.begin(), list.end(),
      [](const Member& a, const Member& b) { return a.node < b.node; });
  return list;
}

}  // namespace hearsay::transport
