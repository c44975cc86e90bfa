#include "daemon/neighbours.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace hearsay::daemon {

namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr CooldownTerms kQuarantine{.strikes = 3,
                                    .window = minutes(1),
                                    .first = seconds(10),
                                    .longest = minutes(30)};
// Short: a wire that heals should not wait long for its ring.
constexpr CooldownTerms kBypass{.strikes = 3,
                                .window = minutes(5),
                                .first = seconds(2),
                                .longest = seconds(30),
                                .in_a_row = true};

// One in so many exchanges is with another than the next one.
constexpr std::uint64_t kExplore = 16;

double Length(const Cooldown::Aside& aside) {
  return std::chrono::duration<double>(aside.until - aside.since).count();
}

}  // namespace

Neighbours::Neighbours(std::string self,
                       std::function<void(const std::string&)> tell,
                       TopologyChoice topology)
    : self_(std::move(self)),
      tell_(std::move(tell)),
      quarantine_(kQuarantine),
      bypass_(kBypass),
      choice_(std::move(topology)),
      members_{self_} {}

void Neighbours::Update(const std::vector<Candidate>& candidates, Time now) {
  candidates_ = candidates;
  Follow(now);
}

void Neighbours::Follow(Time now) {
  std::map<std::string, std::string> groups = {{self_, choice_.group}};
  std::set<std::string> left;
  for (const auto& candidate : candidates_) {
    if (candidate.left) left.insert(candidate.name);
    if (candidate.reachable && candidate.mixes && Trusts(candidate.name, now) &&
        !bypass_.Find(candidate.name, now))
      groups[candidate.name] = candidate.group;
  }
  std::vector<std::string> members;
  std::map<std::string, std::uint32_t> labels;
  for (const auto& [name, group] : groups) {
    members.push_back(name);
    labels.try_emplace(group, 0);
  }
  for (std::uint32_t number = 0; auto& [group, label] : labels)
    label = number++;
  std::vector<std::uint32_t> numbers;
  for (const auto& [name, group] : groups) numbers.push_back(labels[group]);
  if (std::is_permutation(order_.begin(), order_.end(), members.begin(),
                          members.end()))
    members = order_;
  if (topology_ && members == members_ && numbers == groups_) return;
  members_ = std::move(members);
  groups_ = std::move(numbers);
  mixing::Membership membership{.count = members_.size(),
                                .seed = choice_.seed,
                                .both_ways = choice_.both_ways,
                                .groups = groups_};
  if (choice_.kind == mixing::TopologyKind::kFile)
    membership.peers = mixing::Resolve(choice_.adjacency, members_);
  topology_ = mixing::MakeTopology(choice_.kind, std::move(membership));

  auto asked = Asked();
  if (asked == asked_) return;
  for (const auto& peer : asked_)
    if (!groups.contains(peer) && !left.contains(peer)) ++repairs_;
  asked_ = std::move(asked);
  const auto* word = mixing::Word(choice_.kind);
  if (asked_.empty())
    tell_(fmt::format("the {}: alone", word));
  else if (choice_.kind == mixing::TopologyKind::kRing && !choice_.both_ways)
    tell_(fmt::format("the {}: next is {}", word, asked_.front()));
  else
    tell_(fmt::format("the {}: asks {}", word, fmt::join(asked_, ", ")));
}

std::size_t Neighbours::Self() const {
  return static_cast<std::size_t>(
      std::find(members_.begin(), members_.end(), self_) - members_.begin());
}

std::vector<std::string> Neighbours::Asked() const {
  const auto self = Self();
  const auto period = topology_->period();
  if (period == 0) {
    auto others = members_;
    std::erase(others, self_);
    return others;
  }
  std::set<std::string> asked;
  for (std::uint64_t round = 0; round < period; ++round)
    if (const auto peer = topology_->Peer(self, round))
      asked.insert(members_[*peer]);
  return {asked.begin(), asked.end()};
}

// A member may have been set aside since the last Update, or be let in again
// before the next: so it is looked at once more.
std::optional<std::string> Neighbours::Next(Time now) {
  if (!topology_) return std::nullopt;
  const auto self = Self();
  auto peer = topology_->Peer(self, round_++);
  if (!peer) return std::nullopt;
  if (choice_.explores && round_ % kExplore == 0)
    peer = (self + 1 + round_ / kExplore % (members_.size() - 1)) %
           members_.size();
  const auto& name = members_[*peer];
  if (!Trusts(name, now) || bypass_.Find(name, now)) return std::nullopt;
  return name;
}

bool Neighbours::Mixes(const std::string& peer, Time now) const {
  const auto found =
      std::find_if(candidates_.begin(), candidates_.end(),
                   [&](const auto& one) { return one.name == peer; });
  return found != candidates_.end() && found->reachable && found->mixes &&
         Trusts(peer, now);
}

bool Neighbours::Trusts(const std::string& peer, Time now) const {
  return !quarantine_.Find(peer, now);
}

void Neighbours::OnGood(const std::string& peer, Time now) {
  quarantine_.Praise(peer, now);
  bypass_.Praise(peer, now);
}

void Neighbours::OnFailure(const std::string& peer, Time now) {
  if (!bypass_.Strike(peer, "no answer", now)) return;
  const auto aside = bypass_.Find(peer, now);
  tell_(
      fmt::format("{} is bypassed for {:.0f} s: exchanges with it fail in a "
                  "row, though it is alive",
                  peer, Length(*aside)));
  Follow(now);
}

void Neighbours::OnOffence(const std::string& peer, const std::string& reason,
                           Time now) {
  if (!quarantine_.Strike(peer, reason, now)) return;
  const auto aside = quarantine_.Find(peer, now);
  tell_(fmt::format("{} is quarantined for {:.0f} s (time {}): {}", peer,
                    Length(*aside), aside->times, reason));
  Follow(now);
}

}  // namespace hearsay::daemon
