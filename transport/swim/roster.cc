#include "transport/swim/roster.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace hearsay::transport::swim {

Roster::Roster(const Settings& settings, Record self)
    : settings_(settings),
      self_(std::move(self)),
      gossip_(settings.retransmit_multiplier) {}

std::size_t Roster::size() const {
  return 1 + static_cast<std::size_t>(std::count_if(
                 members_.begin(), members_.end(),
                 [](const auto& entry) { return entry.second.present(); }));
}

const Member* Roster::Find(const std::string& node) const {
  const auto found = members_.find(node);
  return found == members_.end() ? nullptr : &found->second;
}

// The one that has been gone for longest goes; first those that have left.
bool Roster::MakeRoom() {
  if (members_.size() < kMaxMembers) return true;
  auto gone = members_.end();
  const auto goes_before = [](const Member& a, const Member& b) {
    const bool a_left = a.record.state == State::kLeft;
    const bool b_left = b.record.state == State::kLeft;
    return a_left != b_left ? a_left : a.since < b.since;
  };
  for (auto it = members_.begin(); it != members_.end(); ++it) {
    if (it->second.present()) continue;
    if (gone == members_.end() || goes_before(it->second, gone->second))
      gone = it;
  }
  if (gone == members_.end()) return false;
  members_.erase(gone);
  return true;
}

Roster::Outcome Roster::Learn(const Record& news, Clock::time_point now) {
  if (news.node == self_.node) return Defend(news);
  auto found = members_.find(news.node);
  if (found == members_.end()) {
    if (!MakeRoom()) return Outcome::kOld;
    found = members_.try_emplace(news.node).first;
    found->second.since = now;
  } else if (!Supersedes(news, found->second.record)) {
    Member& member = found->second;
    Record confirmed = news;
    confirmed.said_by = member.record.said_by;
    // Another accuser; passed on, so that others count it too.
    if (member.suspicion && confirmed == member.record &&
        member.suspicion->Confirm(news.said_by))
      gossip_.Add(news);
    return Outcome::kOld;
  }
  Member& member = found->second;
  if (member.record.state != news.state || member.record.life != news.life)
    member.since = now;
  member.record = news;
  member.suspicion.reset();
  if (news.state == State::kSuspect)
    member.suspicion.emplace(settings_, size(), news.said_by, now);
  gossip_.Add(news);
  return Outcome::kChanged;
}

Roster::Outcome Roster::Defend(const Record& news) {
  const auto rank = [](const Record& record) {
    return std::pair(record.life, record.incarnation);
  };
  if (self_.state == State::kLeft || rank(news) < rank(self_))
    return Outcome::kOld;
  const bool ours = rank(news) == rank(self_);
  if (ours && news.state == State::kAlive) return Outcome::kOld;
  const bool full =
      news.incarnation == std::numeric_limits<std::uint32_t>::max();
  // A greater life is that of a former process whose clock was ahead of ours.
  if (news.life > self_.life || full) {
    self_.life = std::min(news.life + 1, kMaxLife - 1);
    self_.incarnation = 0;
  } else {
    self_.incarnation = news.incarnation + 1;
  }
  gossip_.Add(self_);
  return Outcome::kRefuted;
}

void Roster::Leave() {
  self_.state = State::kLeft;
  gossip_.Add(self_);
}

std::vector<std::string> Roster::Overdue(Clock::time_point now) const {
  std::vector<std::string> overdue;
  for (const auto& [node, member] : members_)
    if (member.suspicion && member.suspicion->deadline() <= now)
      overdue.push_back(node);
  return overdue;
}

void Roster::Postpone(Clock::duration by) {
  for (auto& [node, member] : members_)
    if (member.suspicion) member.suspicion->Postpone(by);
}

void Roster::Convince(const std::string& node) {
  const auto found = members_.find(node);
  if (found != members_.end() && found->second.suspicion)
    found->second.suspicion->Convince();
}

std::vector<Record> Roster::Updates(const std::string& to, std::size_t most,
                                    Fill fill) {
  std::vector<Record> updates{self_};
  const Member* theirs = Find(to);
  const bool refutable =
      theirs != nullptr &&
      (theirs->record.state != State::kAlive || fill == Fill::kOthersInTurn);
  if (refutable) updates.push_back(theirs->record);
  const auto add = [&](const Record& record) {
    const bool there = std::any_of(
        updates.begin(), updates.end(),
        [&record](const Record& other) { return other.node == record.node; });
    if (!there) updates.push_back(record);
  };
  for (const auto& record : gossip_.Take(most - updates.size(), size()))
    add(record);
  if (fill == Fill::kNewsOnly) return updates;
  auto next = members_.upper_bound(last_filled_);
  for (std::size_t i = 0; i < members_.size() && updates.size() < most; ++i) {
    if (next == members_.end()) next = members_.begin();
    add(next->second.record);
    last_filled_ = next->first;
    ++next;
  }
  return updates;
}

}  // namespace hearsay::transport::swim
