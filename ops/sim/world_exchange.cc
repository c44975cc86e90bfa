// Exchanges and the network between nodes. See world.h.
#include <algorithm>
#include <cmath>

#include "daemon/mixing/momentum.h"
#include "ops/sim/world.h"

namespace hearsay::sim {

namespace {
// A request or an acknowledgement that carries nothing.
constexpr double kSmall = 64;
}  // namespace

void World::OnTick(std::uint32_t i) {
  auto& node = nodes_[i];
  if (!node.alive) return;
  if (now_ < node.thaws) return calendar_.Put(node.thaws, kTick, i);
  // A fixed phase between two nodes' clocks biases the weights.
  calendar_.Put(now_ + interval_ * node.chance.Uniform(0.5, 1.5), kTick, i);
  if (habits_.keeps_newest) UseNewest(i);
  if (node.in_flight == 0 || settings_.mixing.many_in_flight) Ask(i);
}

void World::UseNewest(std::uint32_t i) {
  if (!nodes_[i].has_newest) return;
  Apply(i, habits_.tick, Of(newest_, i), {});
}

std::optional<std::uint32_t> World::PeerOf(std::uint32_t i) {
  auto& node = nodes_[i];
  if (settings_.mixing.rule == mixing::RuleKind::kParameterServer) return 0;
  // One that was cut off may have been struck off the list.
  if (node.place >= members_.size() || members_[node.place] != i)
    return std::nullopt;
  const auto peer = topology_->Peer(node.place, node.round++);
  if (!peer) return std::nullopt;
  return members_[*peer];
}

std::uint32_t World::Take() {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(exchanges_.size()));
    exchanges_.emplace_back();
    arrays_.resize(exchanges_.size() * 3 * width_);
  }
  const auto slot = free_.back();
  free_.pop_back();
  return slot;
}

void World::Give(std::uint32_t slot) { free_.push_back(slot); }

std::span<double> World::Array(std::uint32_t slot, Part part) {
  return {arrays_.data() + (std::size_t{slot} * 3 + part) * width_, width_};
}

bool World::Ask(std::uint32_t i) {
  const auto peer = PeerOf(i);
  if (!peer) return false;
  auto& node = nodes_[i];
  const auto slot = Take();
  exchanges_[slot] = {.from = i, .to = *peer, .note = {}, .asked = now_};
  Blend(i);
  const auto live = Of(live_, i);
  const auto sent = Array(slot, kSent);
  std::copy(live.begin(), live.end(), Array(slot, kMine).begin());
  std::copy(live.begin(), live.end(), sent.begin());
  const auto ask = node.rule->OnAsk(*peer);
  exchanges_[slot].note = ask.note;
  if (habits_.ask_carries == mixing::Carries::kChange) {
    const auto base = Of(base_, i);
    for (std::size_t k = 0; k < width_; ++k) sent[k] -= base[k];
  }
  if (habits_.owes) {
    auto& owed = owed_[{i, *peer}];
    if (ask.again)
      std::copy(owed.begin(), owed.end(), sent.begin());
    else
      owed.assign(sent.begin(), sent.end());
  }
  ++node.in_flight;
  const bool carries = habits_.ask_carries != mixing::Carries::kNothing;
  if (!Transmit(i, *peer, carries ? message_bytes_ : kSmall, kRequest, slot))
    calendar_.Put(now_ + deadline_, kLate, slot);
  return true;
}

bool World::Parted(std::uint32_t a, std::uint32_t b) const {
  return std::any_of(partings_.begin(), partings_.end(),
                     [&](const Parting& parting) {
                       const auto inside = [&](std::uint32_t i) {
                         return i >= parting.first && i <= parting.last;
                       };
                       return now_ < parting.until && inside(a) != inside(b);
                     });
}

bool World::Transmit(std::uint32_t from, std::uint32_t to, double bytes,
                     Kind event, std::uint32_t slot) {
  const auto& network = settings_.network;
  auto& sender = nodes_[from];
  ++result_.messages;
  sender.bytes += bytes;
  double latency = network.latency;
  if (network.jitter > 0)
    latency *= sender.chance.Uniform(1 - network.jitter, 1 + network.jitter);
  double comes = now_ + latency;
  if (network.bandwidth > 0) {
    // Both ends' links carry one message after another.
    const double takes = bytes / network.bandwidth;
    sender.out_free = std::max(now_, sender.out_free) + takes;
    auto& receiver = nodes_[to];
    receiver.in_free =
        std::max(sender.out_free + latency, receiver.in_free + takes);
    comes = receiver.in_free;
  }
  if (network.loss > 0 && sender.chance.Uniform() < network.loss) return false;
  if (Parted(from, to)) return false;
  calendar_.Put(comes, event, slot);
  return true;
}

// By how far the weights moved, squared.
double World::Apply(std::uint32_t i, const mixing::Correction& correction,
                    std::span<const double> theirs,
                    std::span<const double> mine) {
  if (correction.gain == 0) return 0;
  const auto live = Of(live_, i);
  const auto gain = static_cast<double>(correction.gain);
  const auto twin_gain = static_cast<double>(correction.twin_gain);
  double moved = 0;
  for (std::size_t k = 0; k < width_; ++k) {
    double reference = 0;
    if (correction.reference == mixing::Reference::kSnapshot)
      reference = mine[k];
    if (correction.reference == mixing::Reference::kLive) reference = live[k];
    if (correction.reference == mixing::Reference::kMidway)
      reference = (mine[k] + live[k]) / 2;
    const double step = theirs[k] - reference;
    live[k] += gain * step;
    if (habits_.has_twin) Of(twin_, i)[k] += twin_gain * step;
    moved += gain * step * gain * step;
  }
  return moved;
}

void World::OnRequest(std::uint32_t slot) {
  auto& exchange = exchanges_[slot];
  auto& node = nodes_[exchange.to];
  const auto late = [&] {
    calendar_.Put(std::max(exchange.asked + deadline_, now_), kLate, slot);
  };
  if (!node.alive) return late();
  if (now_ < node.thaws) return calendar_.Put(node.thaws, kRequest, slot);
  if (habits_.one_at_a_time && node.in_flight > 0) {
    queued_[exchange.to].push_back(slot);
    return;
  }
  Blend(exchange.to);
  const auto live = Of(live_, exchange.to);
  const auto answer = Array(slot, kAnswered);
  const auto theirs = Array(slot, kSent);
  std::copy(live.begin(), live.end(), answer.begin());
  double moved = 0;
  if (habits_.ask_carries != mixing::Carries::kNothing) {
    const auto reply = node.rule->OnRequest(exchange.from, exchange.note);
    if (reply.refused) return late();
    moved = Apply(exchange.to, reply.correction, theirs, answer);
    node.rule->OnApplied(exchange.from, exchange.note);
  }
  if (habits_.keeps_newest) {
    std::copy(theirs.begin(), theirs.end(), Of(newest_, exchange.to).begin());
    node.has_newest = true;
    if (settings_.mixing.trigger == Settings::Mixing::Trigger::kOnArrival)
      UseNewest(exchange.to);
  }
  if (habits_.answers_after)
    std::copy(live.begin(), live.end(), answer.begin());
  if (Transmit(exchange.to, exchange.from,
               habits_.answer_carries ? message_bytes_ : kSmall, kAnswer, slot))
    return;
  if (moved > 0 && habits_.answer_carries) ++result_.one_sided;
  late();
}

void World::OnAnswer(std::uint32_t slot) {
  const auto exchange = exchanges_[slot];
  auto& node = nodes_[exchange.from];
  if (!node.alive) return Finish(slot);
  if (now_ < node.thaws) return calendar_.Put(node.thaws, kAnswer, slot);
  ++result_.exchanges;
  const auto correction = node.rule->OnAnswer(exchange.to);
  if (habits_.owes) owed_.erase({exchange.from, exchange.to});
  if (habits_.answer_carries) {
    Blend(exchange.from);
    Apply(exchange.from, correction, Array(slot, kAnswered),
          Array(slot, kMine));
  }
  if (!base_.empty()) {
    const auto live = Of(live_, exchange.from);
    std::copy(live.begin(), live.end(), Of(base_, exchange.from).begin());
  }
  Finish(slot);
}

void World::OnLate(std::uint32_t slot) {
  ++result_.failed;
  const auto i = exchanges_[slot].from;
  if (settings_.mixing.rule == mixing::RuleKind::kParameterServer)
    End(i, "the server does not answer");
  Finish(slot);
}

void World::Finish(std::uint32_t slot) {
  const auto i = exchanges_[slot].from;
  Give(slot);
  auto& node = nodes_[i];
  --node.in_flight;
  if (habits_.one_at_a_time && node.in_flight == 0) {
    if (const auto found = queued_.find(i); found != queued_.end()) {
      const auto waiting = std::move(found->second);
      queued_.erase(found);
      for (const auto request : waiting) OnRequest(request);
    }
  }
  if (std::exchange(node.waits, false)) Continue(i);
}

void World::Blend(std::uint32_t i) {
  if (!habits_.has_twin) return;
  auto& node = nodes_[i];
  const auto share =
      mixing::BlendShare(node.rule->eta(), (now_ - node.blended) / interval_);
  node.blended = now_;
  const auto live = Of(live_, i);
  const auto twin = Of(twin_, i);
  for (std::size_t k = 0; k < width_; ++k) {
    const double apart = share * (twin[k] - live[k]);
    live[k] += apart;
    twin[k] -= apart;
  }
}

}  // namespace hearsay::sim
