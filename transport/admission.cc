// The part of the control plane that lets nodes in, or does not.
#include <utility>

#include "transport/control_plane.h"
#include "transport/handshake.h"

namespace hearsay::transport {
namespace {

constexpr std::size_t kMaxTold = 64;
// Strangers of one address are listed no more often: they could fill the log.
constexpr Milliseconds kStrangerEvery{10000};

RefusalKind PublicKind(Refuse::Kind kind) {
  switch (kind) {
    case Refuse::Kind::kCluster:
      return RefusalKind::kCluster;
    case Refuse::Kind::kModel:
      return RefusalKind::kModel;
    case Refuse::Kind::kDuplicateName:
      return RefusalKind::kDuplicateName;
    default:
      return RefusalKind::kProtocol;
  }
}

}  // namespace

bool ControlPlane::IsDuplicate(const Hello& theirs) const {
  const auto found = sessions_.find(theirs.node);
  return found != sessions_.end() &&
         found->second->theirs().incarnation != theirs.incarnation &&
         members_.IsFresh(theirs.node, Clock::now());
}

Refuse ControlPlane::MakeRefuse(Refuse::Kind kind, const Hello& theirs) {
  Refuse refuse{
      .kind = kind, .hello = HelloNow(), .other_address = {}, .newcomer = true};
  if (kind != Refuse::Kind::kDuplicateName) return refuse;
  if (theirs.node == options_.node) {
    refuse.other_address = listener_->advertised();
    refuse.newcomer = theirs.age_ms <= refuse.hello.age_ms;
  } else {
    refuse.other_address = members_.Find(theirs.node)->address;
  }
  return refuse;
}

std::optional<Refuse> ControlPlane::Examine(Session& session,
                                            const Hello& theirs) {
  const std::string& dialled = session.dialled();
  if (!dialled.empty()) targets_.OnIdentified(dialled, theirs.node);
  auto kind = Judge(HelloNow(), theirs);
  if (!kind && IsDuplicate(theirs)) kind = Refuse::Kind::kDuplicateName;
  if (!kind) return std::nullopt;
  const Refuse refuse = MakeRefuse(*kind, theirs);
  if (*kind == Refuse::Kind::kSelf) return refuse;
  const std::string text =
      RefusingText(*kind, refuse.hello, theirs, refuse.other_address);
  NoteRefusal(theirs, dialled, *kind, text);
  if (!refuse.newcomer) TellOwner(*kind, text);
  return refuse;
}

void ControlPlane::NoteRefusal(const Hello& theirs, const std::string& dialled,
                               Refuse::Kind kind, const std::string& text) {
  const auto now = Clock::now();
  if (!dialled.empty()) targets_.OnRefused(dialled, text, now);
  const bool same_member = kind == Refuse::Kind::kModel;
  members_.OnRefused(theirs.node, theirs.address, text, same_member, now);
}

void ControlPlane::TellOwner(Refuse::Kind kind, const std::string& text) {
  if (told_.size() >= kMaxTold) told_.clear();
  if (told_.insert(text).second && callbacks_.on_refused)
    callbacks_.on_refused(text, PublicKind(kind));
}

void ControlPlane::NoteDistrust(const Session& session,
                                const std::string& reason) {
  const auto now = Clock::now();
  std::string name = session.certified_name();
  const auto target = targets_.all().find(session.dialled());
  if (name.empty() && target != targets_.all().end())
    name = target->second.node;
  if (name == options_.node) name.clear();
  const Member* known = members_.Find(name);
  // Someone with an old certificate of a member that is here is not news of it.
  if (known != nullptr) {
    if (!sessions_.contains(name))
      members_.OnRefused(name, known->address, reason, true, now);
    return;
  }
  if (session.role() == Session::Role::kDialler) return;  // targets_ say it.
  const std::string address = session.remote_ip();
  const auto before = members_.refused().find(address);
  if (before == members_.refused().end() || !name.empty() ||
      now - before->second.heard > kStrangerEvery)
    members_.OnRefused(name, address, reason, false, now);
}

void ControlPlane::OnRefuse(Session& session, const Refuse& refuse) {
  if (refuse.kind == Refuse::Kind::kSuperseded) {
    // Its other session is established there, and so it is here.
    targets_.OnConnected(session.dialled());
    targets_.OnLost(refuse.hello.node, Clock::now());
    const auto found = sessions_.find(refuse.hello.node);
    if (found == sessions_.end() || found->second.get() != &session) return;
    sessions_.erase(found);
    return OnProof(refuse.hello.node);
  }
  if (refuse.kind == Refuse::Kind::kSelf) {
    own_addresses_.insert(session.dialled());
    targets_.Forget(session.dialled());
    return;
  }
  const std::string text =
      RefusedText(refuse.kind, HelloNow(), refuse.hello, refuse.other_address);
  NoteRefusal(refuse.hello, session.dialled(), refuse.kind, text);
  if (refuse.kind != Refuse::Kind::kDuplicateName)
    return TellOwner(refuse.kind, text);
  // An owner that hears this exits, so it takes the word of the bearer of its
  // name alone (the session has made sure of it). Of what another says this
  // node makes sure itself.
  if (refuse.hello.node != options_.node)
    return LookForDouble(refuse.other_address);
  if (refuse.newcomer) TellOwner(refuse.kind, text);
}

void ControlPlane::LookForDouble(const std::string& address) {
  if (address == listener_->advertised() || own_addresses_.contains(address))
    return;
  targets_.AddLearned(address, options_.node);
}

}  // namespace hearsay::transport
