// Where all meet: synchronous rules, and full averages. See world.h.
#include <algorithm>
#include <cmath>
#include <string>

#include "ops/sim/world.h"

namespace hearsay::sim {

// mixing.md 7; Thakur, Rabenseifner, Gropp 2005.
double World::SumTime(std::size_t members) const {
  if (members < 2) return 0;
  const auto n = static_cast<double>(members);
  const auto& network = settings_.network;
  const double wire = network.bandwidth > 0
                          ? 2 * (n - 1) / n * message_bytes_ / network.bandwidth
                          : 0;
  const double hops = settings_.resync.halving_doubling
                          ? 2 * std::ceil(std::log2(n))
                          : 2 * (n - 1);
  return hops * network.latency + wire;
}

void World::Arrive(std::uint32_t i) {
  nodes_[i].arrived = true;
  ++arrived_;
  CheckMeeting();
}

// All that train are there.
void World::CheckMeeting() {
  if (arrived_ == 0 || arrived_ < running_) return;
  // Who is dead but not known to be is waited for.
  for (const auto member : members_)
    if (!nodes_[member].alive) return;
  calendar_.Put(now_ + SumTime(arrived_), kMet, 0);
}

void World::OnMet() {
  std::vector<std::uint32_t> here;
  for (std::uint32_t i = 0; i < nodes_.size(); ++i)
    if (nodes_[i].arrived) here.push_back(i);
  if (here.empty()) return;
  const bool gradients = habits_.meets == mixing::Habits::Meets::kGradients;
  std::fill(mean_.begin(), mean_.end(), 0.0);
  const auto n = static_cast<double>(here.size());
  const double bytes = 2 * (n - 1) / n * message_bytes_;
  for (const auto i : here) {
    if (!gradients) Gather(i);
    const auto array = Of(gathered_, i);
    for (std::size_t k = 0; k < width_; ++k) mean_[k] += array[k] / n;
  }
  if (!gradients) MoveSlowly(mean_);
  for (const auto i : here) {
    const auto live = Of(live_, i);
    for (std::size_t k = 0; k < width_; ++k)
      live[k] = gradients ? live[k] + mean_[k] : mean_[k];
    if (!gradients) Settle(i);
    nodes_[i].bytes += bytes;
    nodes_[i].arrived = false;
    if (gradients) ++nodes_[i].steps;
  }
  arrived_ = 0;
  ++result_.resyncs;
  for (const auto i : here) Continue(i);
}

void World::Gather(std::uint32_t i) {
  Blend(i);
  const auto live = Of(live_, i);
  const auto array = Of(gathered_, i);
  std::copy(live.begin(), live.end(), array.begin());
}

// Momentum begins anew: after a full average there is nothing that it could
// carry on, and what it would carry on was against disagreement that is gone.
void World::Settle(std::uint32_t i) {
  if (!habits_.has_twin) return;
  const auto live = Of(live_, i);
  std::copy(live.begin(), live.end(), Of(twin_, i).begin());
}

void World::MoveSlowly(std::span<double> mean) {
  if (settings_.resync.slow_momentum == 0) return;
  std::vector<float> array(mean.begin(), mean.end());
  slow_.Move(array);
  std::copy(array.begin(), array.end(), mean.begin());
}

// The leader's steps count: all copy their weights, and go on.
void World::BeginAverage() {
  if (!gatherers_.empty()) return;
  if (settings_.resync.mode == Settings::Resync::Mode::kAdaptive &&
      Distance() <= settings_.resync.above)
    return;
  for (const auto member : members_)
    if (nodes_[member].alive) gatherers_.push_back(member);
  for (const auto i : gatherers_) Gather(i);
  calendar_.Put(now_ + settings_.network.latency + SumTime(gatherers_.size()),
                kAveraged, 0);
}

void World::OnAveraged() {
  const auto here = std::exchange(gatherers_, {});
  for (const auto i : here)  // A round that loses a member changes nothing.
    if (!nodes_[i].alive || now_ < nodes_[i].thaws) {
      slow_.Forget();
      return;
    }
  const auto n = static_cast<double>(here.size());
  std::fill(mean_.begin(), mean_.end(), 0.0);
  for (const auto i : here) {
    const auto array = Of(gathered_, i);
    for (std::size_t k = 0; k < width_; ++k) mean_[k] += array[k] / n;
  }
  MoveSlowly(mean_);
  for (const auto i : here) {
    const auto live = Of(live_, i);
    const auto mine = Of(gathered_, i);
    Blend(i);
    for (std::size_t k = 0; k < width_; ++k) live[k] += mean_[k] - mine[k];
    Settle(i);
    nodes_[i].bytes += 2 * (n - 1) / n * message_bytes_;
  }
  ++result_.resyncs;
}

}  // namespace hearsay::sim
