#include "daemon/neighbours.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "daemon/mixing/ring.h"

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

double Length(const Cooldown::Aside& aside) {
  return std::chrono::duration<double>(aside.until - aside.since).count();
}

}  // namespace

Neighbours::Neighbours(std::string self,
                       std::function<void(const std::string&)> tell)
    : self_(std::move(self)),
      tell_(std::move(tell)),
      quarantine_(kQuarantine),
      bypass_(kBypass) {}

void Neighbours::Update(const std::vector<Candidate>& candidates, Time now) {
  candidates_ = candidates;
  Follow(now);
}

void Neighbours::Follow(Time now) {
  std::vector<std::string> ring;
  bool left = false;
  for (const auto& candidate : candidates_) {
    if (candidate.name == successor_) left = candidate.left;
    if (candidate.reachable && candidate.mixes && Trusts(candidate.name, now) &&
        !bypass_.Find(candidate.name, now))
      ring.push_back(candidate.name);
  }
  const bool lost = !successor_.empty() && std::find(ring.begin(), ring.end(),
                                                     successor_) == ring.end();
  const auto next = mixing::RingSuccessor(self_, std::move(ring)).value_or("");
  if (next == successor_) return;
  if (lost && !left) ++repairs_;
  successor_ = next;
  tell_(next.empty() ? "the ring: alone"
                     : fmt::format("the ring: next is {}", next));
}

std::optional<std::string> Neighbours::Successor(Time now) const {
  if (successor_.empty() || !Trusts(successor_, now) ||
      bypass_.Find(successor_, now))
    return std::nullopt;
  return successor_;
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
