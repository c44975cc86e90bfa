#include "transport/member_table.h"

#include <algorithm>
#include <utility>

namespace hearsay::transport {
namespace {

// Strangers can make this table grow; they push each other out.
constexpr std::size_t kMaxRefused = 256;
// Members that are gone are remembered until there are this many.
constexpr std::size_t kMaxNamed = 1024;

}  // namespace

MemberTable::MemberTable(const Timing& timing, OnChange on_change)
    : timing_(timing), on_change_(std::move(on_change)) {}

void MemberTable::Set(Member& member, MemberState state,
                      const std::string& error, Clock::time_point now) {
  member.last_error = error;
  if (member.state == state) return;
  member.state = state;
  member.since = now;
  if (on_change_) on_change_(Member(member));
}

void MemberTable::OnAlive(const std::string& node, const std::string& address,
                          std::uint64_t incarnation, const std::string& lane,
                          Clock::time_point now) {
  refused_.erase(address);
  if (named_.size() >= kMaxNamed)
    std::erase_if(named_, [&](const auto& entry) {
      return entry.first != node && !IsPresent(entry.first);
    });
  const auto [found, added] = named_.try_emplace(node);
  Member& member = found->second;
  const bool restarted = !added && member.incarnation != incarnation;
  member.node = node;
  member.address = address;
  member.incarnation = incarnation;
  member.lane = lane;
  member.heard = now;
  if (restarted) member.report.clear();
  if (added || restarted) member.state = MemberState::kFailed;
  Set(member, MemberState::kAlive, "", now);
}

bool MemberTable::OnHeartbeat(const std::string& node, std::string report,
                              Clock::time_point now) {
  const auto found = named_.find(node);
  if (found == named_.end()) return false;
  found->second.report = std::move(report);
  found->second.heard = now;
  Set(found->second, MemberState::kAlive, "", now);
  return true;
}

void MemberTable::OnFailed(const std::string& node, const std::string& error,
                           Clock::time_point now) {
  const auto found = named_.find(node);
  if (found == named_.end()) return;
  found->second.lane.clear();
  Set(found->second, MemberState::kFailed, error, now);
}

void MemberTable::OnLeft(const std::string& node, Clock::time_point now) {
  const auto found = named_.find(node);
  if (found == named_.end()) return;
  found->second.lane.clear();
  Set(found->second, MemberState::kLeft, "", now);
}

void MemberTable::NoteError(const std::string& node, const std::string& error) {
  const auto found = named_.find(node);
  if (found != named_.end()) found->second.last_error = error;
}

bool MemberTable::OnRefused(const std::string& node, const std::string& address,
                            const std::string& error, bool same_cluster,
                            Clock::time_point now) {
  const auto known = named_.find(node);
  if (same_cluster && known != named_.end() && !IsPresent(node)) {
    const bool news = known->second.state != MemberState::kRefused ||
                      known->second.last_error != error;
    known->second.address = address;
    Set(known->second, MemberState::kRefused, error, now);
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
  if (news) member.state = MemberState::kFailed;  // So that Set sees a change.
  Set(member, MemberState::kRefused, error, now);
  return news;
}

void MemberTable::ForgetRefused(const std::string& address) {
  refused_.erase(address);
}

std::vector<std::string> MemberTable::Silent(Clock::time_point now,
                                             Clock::time_point resumed) {
  std::vector<std::string> gone;
  for (auto& [node, member] : named_) {
    if (!IsPresent(node)) continue;
    const auto silence = now - std::max(member.heard, resumed);
    if (silence >= timing_.failed_after) {
      gone.push_back(node);
    } else if (silence >= timing_.suspect_after) {
      Set(member, MemberState::kSuspect, "no heartbeat", now);
    }
  }
  return gone;
}

bool MemberTable::IsPresent(const std::string& node) const {
  const auto found = named_.find(node);
  return found != named_.end() &&
         (found->second.state == MemberState::kAlive ||
          found->second.state == MemberState::kSuspect);
}

bool MemberTable::IsFresh(const std::string& node,
                          Clock::time_point now) const {
  const auto found = named_.find(node);
  return found != named_.end() && IsPresent(node) &&
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
