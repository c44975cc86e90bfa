#include "transport/member_table.h"

#include <algorithm>
#include <utility>

namespace hearsay::transport {
namespace {

// Strangers can make this table grow; they push each other out.
constexpr std::size_t kMaxRefused = 256;
// Members that are gone are remembered until there are this many.
constexpr std::size_t kMaxNamed = 1024;

bool HasEdge(const Member& member) {
  return member.edge == EdgeState::kConnected ||
         member.edge == EdgeState::kSilent;
}

bool IsGone(const Member& member) {
  return !HasEdge(member) && member.state != MemberState::kAlive &&
         member.state != MemberState::kSuspect;
}

MemberState StateOf(swim::State state) {
  switch (state) {
    case swim::State::kAlive:
      return MemberState::kAlive;
    case swim::State::kSuspect:
      return MemberState::kSuspect;
    case swim::State::kFailed:
      return MemberState::kFailed;
    case swim::State::kLeft:
      return MemberState::kLeft;
  }
  return MemberState::kFailed;
}

}  // namespace

MemberTable::MemberTable(const Timing& timing, OnChange on_change)
    : timing_(timing), on_change_(std::move(on_change)) {}

void MemberTable::Tell(const Member& member) const {
  if (on_change_) on_change_(Member(member));
}

bool MemberTable::SetState(Member& member, MemberState state,
                           const std::string& said_by, Clock::time_point now) {
  member.said_by = said_by;
  if (member.state == state) return false;
  member.state = state;
  member.since = now;
  return true;
}

bool MemberTable::SetEdge(Member& member, EdgeState edge,
                          Clock::time_point now) {
  if (member.edge == edge) return false;
  member.edge = edge;
  member.edge_since = now;
  return true;
}

Member& MemberTable::Add(const std::string& node) {
  if (named_.size() >= kMaxNamed && !named_.contains(node))
    std::erase_if(named_,
                  [](const auto& entry) { return IsGone(entry.second); });
  Member& member = named_[node];
  member.node = node;
  return member;
}

void MemberTable::OnVerdict(const swim::Record& record, Clock::time_point now) {
  const bool known = named_.contains(record.node);
  Member& member = Add(record.node);
  // Where it is connected, it has said itself where it is.
  if (!HasEdge(member)) member.address = record.address;
  const auto state = StateOf(record.state);
  // Others may let it in; here it is refused until it connects, or leaves.
  if (member.state == MemberState::kRefused && state != MemberState::kLeft)
    return;
  const bool news = SetState(member, state, record.said_by, now);
  if (!known) member.since = member.edge_since = now;
  if (state == MemberState::kLeft && !HasEdge(member)) {
    member.last_error.clear();
    SetEdge(member, EdgeState::kNone, now);
  }
  if (news || !known) Tell(member);
}

void MemberTable::OnConnected(const std::string& node,
                              const Connection& connection, swim::State verdict,
                              Clock::time_point now) {
  refused_.erase(connection.address);
  Member& member = Add(node);
  const bool restarted =
      member.incarnation != 0 && member.incarnation != connection.incarnation;
  if (restarted) member.report.clear();
  member.address = connection.address;
  member.incarnation = connection.incarnation;
  member.lane = connection.lane;
  member.heard = now;
  member.last_error.clear();
  const auto state = StateOf(verdict);
  const bool other_state = SetState(
      member, state, state == MemberState::kAlive ? node : member.said_by, now);
  const bool other_edge = SetEdge(member, EdgeState::kConnected, now);
  if (restarted || other_state || other_edge) Tell(member);
}

bool MemberTable::OnHeard(const std::string& node, Clock::time_point now) {
  const auto found = named_.find(node);
  if (found == named_.end()) return false;
  Member& member = found->second;
  member.heard = now;
  if (member.edge != EdgeState::kSilent) return true;
  member.last_error.clear();
  SetEdge(member, EdgeState::kConnected, now);
  Tell(member);
  return true;
}

void MemberTable::OnReport(const std::string& node, std::string report) {
  const auto found = named_.find(node);
  if (found != named_.end()) found->second.report = std::move(report);
}

void MemberTable::OnCut(const std::string& node, const std::string& error,
                        Clock::time_point now) {
  const auto found = named_.find(node);
  if (found == named_.end()) return;
  Member& member = found->second;
  member.lane.clear();
  member.last_error = error;
  const bool left = member.state == MemberState::kLeft;
  if (SetEdge(member, left ? EdgeState::kNone : EdgeState::kBroken, now))
    Tell(member);
}

void MemberTable::NoteError(const std::string& node, const std::string& error) {
  const auto found = named_.find(node);
  if (found != named_.end()) found->second.last_error = error;
}

bool MemberTable::OnRefused(const std::string& node, const std::string& address,
                            const std::string& error, bool same_cluster,
                            Clock::time_point now) {
  const auto known = named_.find(node);
  if (same_cluster && known != named_.end() && !HasEdge(known->second)) {
    Member& member = known->second;
    const bool news =
        member.state != MemberState::kRefused || member.last_error != error;
    member.address = address;
    member.last_error = error;
    if (SetState(member, MemberState::kRefused, {}, now)) Tell(member);
    return news;
  }
  if (!refused_.contains(address) && refused_.size() >= kMaxRefused) {
    const auto oldest = std::min_element(
        refused_.begin(), refused_.end(), [](const auto& a, const auto& b) {
          return a.second.heard < b.second.heard;
        });
    refused_.erase(oldest);
  }
  const auto [found, added] = refused_.try_emplace(address);
  Member& member = found->second;
  const bool news = added || member.node != node || member.last_error != error;
  member.node = node;
  member.address = address;
  member.heard = now;
  member.last_error = error;
  if (news) {
    member.state = MemberState::kRefused;
    member.since = now;
    Tell(member);
  }
  return news;
}

MemberTable::Silence MemberTable::FindSilence(Clock::time_point now,
                                              Clock::time_point resumed) {
  Silence silence;
  for (auto& [node, member] : named_) {
    if (!HasEdge(member)) continue;
    const auto silent = now - std::max(member.heard, resumed);
    if (silent >= timing_.give_up) {
      silence.beyond.push_back(node);
    } else if (silent >= timing_.silent_after &&
               SetEdge(member, EdgeState::kSilent, now)) {
      member.last_error = "nothing heard for " +
                          std::to_string(timing_.silent_after.count()) + " ms";
      silence.begun.push_back(node);
    }
  }
  for (const auto& node : silence.begun) Tell(named_.at(node));
  return silence;
}

void MemberTable::ForgetRefused(const std::string& address) {
  refused_.erase(address);
}

bool MemberTable::IsConnected(const std::string& node) const {
  const auto found = named_.find(node);
  return found != named_.end() && HasEdge(found->second);
}

bool MemberTable::IsFresh(const std::string& node,
                          Clock::time_point now) const {
  const auto found = named_.find(node);
  return found != named_.end() && HasEdge(found->second) &&
         now - found->second.heard < 2 * timing_.heartbeat;
}

const Member* MemberTable::Find(const std::string& node) const {
  const auto found = named_.find(node);
  return found == named_.end() ? nullptr : &found->second;
}

std::vector<Member> MemberTable::named() const {
  std::vector<Member> members;
  members.reserve(named_.size());
  for (const auto& [node, member] : named_) members.push_back(member);
  return members;
}

}  // namespace hearsay::transport
