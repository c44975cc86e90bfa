#include "transport/swim/swim.h"

#include <algorithm>
#include <utility>

namespace hearsay::transport::swim {
namespace {

// Probes on behalf of others; those who ask for more are told no at once.
constexpr std::size_t kMaxRelays = 256;
// Intervals in which a process that was paused accuses nobody.
constexpr int kGraceIntervals = 3;

}  // namespace

Swim::Swim(const Settings& settings, Record self, std::uint64_t seed,
           World& world)
    : settings_(settings),
      world_(world),
      random_(seed),
      roster_(settings, std::move(self)),
      health_(settings) {}

bool Swim::Send(const std::string& to, Message::Kind kind, std::uint64_t probe,
                const std::string& target) {
  return world_.Send(to, {.kind = kind,
                          .probe = probe,
                          .target = target,
                          .updates = roster_.Updates(to, kMaxPiggyback,
                                                     Roster::Fill::kNewsOnly)});
}

std::vector<Record> Swim::Updates(const std::string& to, std::size_t most) {
  return roster_.Updates(to, most, Roster::Fill::kOthersInTurn);
}

bool Swim::Learn(const Record& news, Clock::time_point now) {
  switch (roster_.Learn(news, now)) {
    case Roster::Outcome::kOld:
      return false;
    case Roster::Outcome::kRefuted:
      health_.Add(1);
      world_.OnRefuted();
      return false;
    case Roster::Outcome::kChanged:
      world_.OnVerdict(*roster_.Find(news.node));
      return true;
  }
  return false;
}

void Swim::Learn(const std::vector<Record>& updates, Clock::time_point now) {
  for (const auto& record : updates) Learn(record, now);
}

void Swim::OnConnected(const std::string& node, const std::string& address,
                       std::uint64_t life, Clock::time_point now) {
  // As good as an ack.
  std::erase_if(probes_, [&node](const auto& entry) {
    return entry.second.target == node;
  });
  Learn({.node = node,
         .address = address,
         .life = life,
         .incarnation = 0,
         .state = State::kAlive,
         .said_by = node},
        now);
}

void Swim::OnLeft(const std::string& node, Clock::time_point now) {
  const Member* member = roster_.Find(node);
  if (member == nullptr) return;
  Record news = member->record;
  news.state = State::kLeft;
  news.said_by = node;
  Learn(news, now);
}

bool Swim::ForceLeave(const std::string& node, Clock::time_point now) {
  const Member* member = roster_.Find(node);
  if (member == nullptr || member->record.state == State::kAlive) return false;
  Record news = member->record;
  news.state = State::kLeft;
  news.said_by = self().node;
  Learn(news, now);
  return true;
}

void Swim::Tick(Clock::time_point now) {
  NoticePause(now);
  AdvanceProbes(now);
  EndRelays(now);
  for (const auto& node : roster_.Overdue(now)) {
    Record news = roster_.Find(node)->record;
    news.state = State::kFailed;
    news.said_by = self().node;
    Learn(news, now);
  }
  if (now < next_probe_) return;
  next_probe_ = now + health_.Scaled(settings_.probe_interval);
  const std::string target = NextTarget();
  if (!target.empty()) Begin(target, now);
}

// A late tick is our own trouble. What others said meanwhile has yet to be
// read, so nothing counts as overdue by it.
void Swim::NoticePause(Clock::time_point now) {
  const auto last = std::exchange(last_tick_, now);
  if (!last || !settings_.lifeguard) return;
  const auto pause = now - *last;
  if (pause <= settings_.probe_timeout) return;
  health_.Add(1);
  for (auto& [id, probe] : probes_) {
    probe.ask_others += pause;
    probe.verdict += pause;
  }
  for (auto& [id, relay] : relays_) relay.deadline += pause;
  roster_.Postpone(pause);
  if (pause > settings_.probe_interval)
    accuse_from_ = now + kGraceIntervals * settings_.probe_interval;
}

// Members in a random order, all of them before any again.
std::string Swim::NextTarget() {
  for (int round = 0; round < 2; ++round) {
    while (!order_.empty()) {
      const std::string target = std::move(order_.back());
      order_.pop_back();
      const Member* member = roster_.Find(target);
      if (member != nullptr && member->present() && !IsProbed(target))
        return target;
    }
    for (const auto& [node, member] : roster_.members())
      if (member.present()) order_.push_back(node);
    std::shuffle(order_.begin(), order_.end(), random_);
  }
  return {};
}

bool Swim::IsProbed(const std::string& node) const {
  return std::any_of(
      probes_.begin(), probes_.end(),
      [&node](const auto& entry) { return entry.second.target == node; });
}

void Swim::Begin(const std::string& target, Clock::time_point now) {
  const std::uint64_t id = ++last_probe_;
  Probe& probe = probes_[id];
  probe.target = target;
  probe.ask_others = now + health_.Scaled(settings_.probe_timeout);
  probe.verdict = now + health_.Scaled(settings_.probe_interval);
  probe.direct = Send(target, Message::Kind::kPing, id);
  if (!probe.direct) AskOthers(id, probe);
}

void Swim::AskOthers(std::uint64_t id, Probe& probe) {
  probe.asked = true;
  std::vector<std::string> others;
  for (const auto& [node, member] : roster_.members())
    if (member.record.state == State::kAlive && node != probe.target)
      others.push_back(node);
  std::shuffle(others.begin(), others.end(), random_);
  const auto enough = static_cast<std::size_t>(settings_.indirect_probes);
  for (const auto& node : others) {
    if (probe.helpers.size() >= enough) break;
    if (Send(node, Message::Kind::kPingRequest, id, probe.target))
      probe.helpers.insert(node);
  }
}

bool Swim::IsLost(const Probe& probe, Clock::time_point now) const {
  if (now >= probe.verdict) return true;
  return probe.urgent && probe.asked &&
         probe.nacks.size() == probe.helpers.size();
}

void Swim::AdvanceProbes(Clock::time_point now) {
  std::vector<std::uint64_t> lost;
  for (auto& [id, probe] : probes_) {
    if (!probe.asked && now >= probe.ask_others) AskOthers(id, probe);
    if (IsLost(probe, now)) lost.push_back(id);
  }
  for (const auto id : lost) Conclude(id, now);
}

// Not answered, neither directly nor through others.
void Swim::Conclude(std::uint64_t id, Clock::time_point now) {
  const auto found = probes_.find(id);
  if (found == probes_.end()) return;
  const Probe probe = std::move(found->second);
  probes_.erase(found);
  // Helpers that did not even say no: it may be this node that is deaf.
  const auto silent =
      static_cast<int>(probe.helpers.size() - probe.nacks.size());
  const bool alone = probe.direct && probe.helpers.empty();
  health_.Add(alone ? 1 : silent);
  const Member* member = roster_.Find(probe.target);
  if (member == nullptr || !member->present() || now < accuse_from_) return;
  Record news = member->record;
  news.state = State::kSuspect;
  news.said_by = self().node;
  Learn(news, now);
}

void Swim::OnCut(const std::string& node, Clock::time_point now) {
  for (auto it = relays_.begin(); it != relays_.end();) {
    if (it->second.target == node) {
      Send(it->second.asker, Message::Kind::kNack, it->second.probe);
      it = relays_.erase(it);
    } else {
      ++it;
    }
  }
  const Member* member = roster_.Find(node);
  if (member == nullptr || !member->present()) return;
  if (!IsProbed(node)) Begin(node, now);
  for (auto& [id, probe] : probes_) {
    if (probe.target != node) continue;
    probe.direct = false;
    probe.urgent = true;
    if (!probe.asked) AskOthers(id, probe);
  }
}

void Swim::OnSilent(const std::string& node, Clock::time_point now) {
  const Member* member = roster_.Find(node);
  if (member != nullptr && member->present() && !IsProbed(node))
    Begin(node, now);
}

void Swim::Receive(const std::string& from, const Message& message,
                   Clock::time_point now) {
  Learn(message.updates, now);
  switch (message.kind) {
    case Message::Kind::kPing:
      Send(from, Message::Kind::kAck, message.probe);
      break;
    case Message::Kind::kAck:
      OnAck(from, message.probe);
      break;
    case Message::Kind::kPingRequest:
      OnPingRequest(from, message, now);
      break;
    case Message::Kind::kNack:
      OnNack(from, message.probe, now);
      break;
  }
}

void Swim::OnPingRequest(const std::string& from, const Message& message,
                         Clock::time_point now) {
  const std::uint64_t id = ++last_probe_;
  if (relays_.size() >= kMaxRelays ||
      !Send(message.target, Message::Kind::kPing, id)) {
    Send(from, Message::Kind::kNack, message.probe);
    return;
  }
  // Before the asker's own wait is over.
  relays_[id] = {.asker = from,
                 .probe = message.probe,
                 .target = message.target,
                 .deadline = now + settings_.probe_timeout * 4 / 5};
}

void Swim::OnAck(const std::string& from, std::uint64_t id) {
  const auto relay = relays_.find(id);
  if (relay != relays_.end() && relay->second.target == from) {
    Send(relay->second.asker, Message::Kind::kAck, relay->second.probe);
    relays_.erase(relay);
    return;
  }
  const auto probe = probes_.find(id);
  if (probe == probes_.end() ||
      (probe->second.target != from && !probe->second.helpers.contains(from)))
    return;
  health_.Add(-1);
  probes_.erase(probe);
}

void Swim::OnNack(const std::string& from, std::uint64_t id,
                  Clock::time_point now) {
  const auto probe = probes_.find(id);
  if (probe == probes_.end() || !probe->second.helpers.contains(from)) return;
  probe->second.nacks.insert(from);
  if (IsLost(probe->second, now)) Conclude(id, now);
}

void Swim::EndRelays(Clock::time_point now) {
  for (auto it = relays_.begin(); it != relays_.end();) {
    if (it->second.deadline <= now) {
      Send(it->second.asker, Message::Kind::kNack, it->second.probe);
      it = relays_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace hearsay::transport::swim
