// The part of the control plane that decides who is there: what the failure
// detector hears, and what becomes of its verdicts.
//
// A verdict is about a member, by all accounts; a session is this node's own.
// Neither ends the other: a member whose session has ended lives until nobody
// reaches it, and a session lives until nothing comes over it.
#include <utility>

#include "transport/control_plane.h"

namespace hearsay::transport {

void ControlPlane::Watch(Clock::time_point now) {
  const auto silence = members_.FindSilence(now, resumed_);
  for (const auto& node : silence.begun) swim_.OnSilent(node, now);
  for (const auto& node : silence.beyond)
    Lose(node, "nothing heard for " +
                   std::to_string(options_.timing.give_up.count()) + " ms");
  swim_.Tick(now);
  Settle();
}

bool ControlPlane::Send(const std::string& to, swim::Message message) {
  return Tell(to, std::move(message));
}

void ControlPlane::OnVerdict(const swim::Member& member) {
  verdicts_.push_back(member.record);
}

// At the next tick: whoever accuses again and again gets no more than that.
void ControlPlane::OnRefuted() { next_heartbeat_ = Clock::now(); }

void ControlPlane::Settle() {
  while (!verdicts_.empty() && !stopped_) {
    const auto verdict = std::move(verdicts_.front());
    verdicts_.pop_front();
    Apply(verdict);
  }
}

void ControlPlane::Apply(const swim::Record& verdict) {
  const auto now = Clock::now();
  const auto& node = verdict.node;
  if (verdict.state == swim::State::kFailed && sessions_.contains(node) &&
      !members_.IsFresh(node, now))
    Lose(node, "failed, says " + verdict.said_by);
  if (!sessions_.contains(node)) {
    if (verdict.state == swim::State::kLeft)
      targets_.OnLeft(node, now);
    else
      LearnAddress(verdict);
  }
  members_.OnVerdict(verdict, now);
}

// For as long as it is remembered: that is how the parts of a cluster that was
// cut find together.
void ControlPlane::LearnAddress(const swim::Record& record) {
  if (record.address == listener_->advertised() ||
      own_addresses_.contains(record.address))
    return;
  targets_.OnMoved(record.node, record.address);
  targets_.AddLearned(record.address, record.node);
}

void ControlPlane::OnHeartbeat(Session& session, Heartbeat heartbeat) {
  if (!IsCurrent(session)) return;
  const std::string node = session.theirs().node;
  const auto now = Clock::now();
  members_.OnHeard(node, now);
  members_.OnReport(node, std::move(heartbeat.report));
  swim_.Learn(heartbeat.updates, now);
  Settle();
  const Member* member = members_.Find(node);
  if (callbacks_.on_report && member != nullptr)
    callbacks_.on_report(Member(*member));
}

void ControlPlane::OnProbe(Session& session, swim::Message message) {
  if (!IsCurrent(session)) return;
  const std::string node = session.theirs().node;
  const auto now = Clock::now();
  members_.OnHeard(node, now);
  swim_.Receive(node, message, now);
  Settle();
}

void ControlPlane::OnLeave(Session& session) {
  if (!IsCurrent(session)) return;
  const std::string node = session.theirs().node;
  const auto now = Clock::now();
  sessions_.erase(node);
  tokens_.erase(node);
  targets_.OnConnected(session.dialled());
  targets_.OnLeft(node, now);
  lanes_.Close(node, "it has left");
  swim_.OnLeft(node, now);
  Settle();
  members_.OnCut(node, "", now);
}

// An old address says nothing of a member that has moved.
void ControlPlane::OnPortClosed(const std::string& node,
                                const std::string& address) {
  const auto* member = swim_.Find(node);
  if (member != nullptr && member->record.address == address)
    swim_.OnPortClosed(node);
}

bool ControlPlane::Join(const std::string& address) {
  return address == listener_->advertised() || targets_.AddConfigured(address);
}

ForceLeaveOutcome ControlPlane::ForceLeave(const std::string& node) {
  if (node == options_.node) return ForceLeaveOutcome::kAlive;
  if (swim_.Find(node) == nullptr) return ForceLeaveOutcome::kUnknown;
  const bool done = swim_.ForceLeave(node, Clock::now());
  Settle();
  return done ? ForceLeaveOutcome::kDone : ForceLeaveOutcome::kAlive;
}

}  // namespace hearsay::transport
