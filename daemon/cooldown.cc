#include "daemon/cooldown.h"

#include <algorithm>

namespace hearsay::daemon {

namespace {

// Names are members', so there are few; this bounds them anyway.
constexpr std::size_t kMostPeers = 1024;
constexpr int kMostDoublings = 30;

}  // namespace

bool Cooldown::Strike(const std::string& peer, const std::string& reason,
                      Time now) {
  MakeRoom(now);
  auto& record = records_[peer];
  if (now < record.aside.until) return false;
  record.good_since = now;
  record.aside.reason = reason;
  auto& strikes = record.strikes;
  strikes.push_back(now);
  while (now - strikes.front() > terms_.window) strikes.pop_front();
  if (record.level == 0 && strikes.size() < terms_.strikes) return false;
  strikes.clear();
  record.last = terms_.first;
  for (int i = 0; i < record.level && record.last < terms_.longest; ++i)
    record.last *= 2;
  record.last = std::min(record.last, terms_.longest);
  record.level = std::min(record.level + 1, kMostDoublings);
  ++record.aside.times;
  record.aside.since = now;
  record.aside.until = now + record.last;
  record.good_since = record.aside.until;
  return true;
}

void Cooldown::Praise(const std::string& peer, Time now) {
  const auto found = records_.find(peer);
  if (found == records_.end() || now < found->second.aside.until) return;
  auto& record = found->second;
  if (terms_.in_a_row) record.strikes.clear();
  if (record.level == 0 || now - record.good_since < record.last) return;
  --record.level;
  record.last /= 2;
  record.good_since = now;
}

std::optional<Cooldown::Aside> Cooldown::Find(const std::string& peer,
                                              Time now) const {
  const auto found = records_.find(peer);
  if (found == records_.end() || now >= found->second.aside.until)
    return std::nullopt;
  return found->second.aside;
}

std::uint64_t Cooldown::times(const std::string& peer) const {
  const auto found = records_.find(peer);
  return found == records_.end() ? 0 : found->second.aside.times;
}

void Cooldown::MakeRoom(Time now) {
  if (records_.size() < kMostPeers) return;
  std::erase_if(records_, [now](const auto& entry) {
    return now >= entry.second.aside.until;
  });
}

}  // namespace hearsay::daemon
