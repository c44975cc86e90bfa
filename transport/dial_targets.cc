#include "transport/dial_targets.h"

#include <algorithm>

namespace hearsay::transport {
namespace {

constexpr std::size_t kMaxTargets = 1024;

}  // namespace

DialTargets::DialTargets(std::chrono::milliseconds retry_min,
                         std::chrono::milliseconds retry_max,
                         std::uint64_t seed)
    : retry_min_(retry_min),
      retry_max_(retry_max),
      random_(static_cast<std::minstd_rand::result_type>(seed ^ (seed >> 32))) {
}

// Uniform in [1/2, 1] of `wait`.
std::chrono::milliseconds DialTargets::Jittered(
    std::chrono::milliseconds wait) {
  std::uniform_int_distribution<std::int64_t> part(wait.count() / 2,
                                                   wait.count());
  return std::chrono::milliseconds(part(random_));
}

bool DialTargets::AddConfigured(const std::string& address) {
  if (targets_.size() >= kMaxTargets && !targets_.contains(address)) {
    const auto learned = std::find_if(
        targets_.begin(), targets_.end(),
        [](const auto& entry) { return !entry.second.configured; });
    if (learned == targets_.end()) return false;
    targets_.erase(learned);
  }
  Target& target = targets_[address];
  target.configured = true;
  target.next = {};
  return true;
}

void DialTargets::AddLearned(const std::string& address,
                             const std::string& node) {
  const auto found = targets_.find(address);
  if (found != targets_.end()) {
    if (found->second.node.empty()) found->second.node = node;
    return;
  }
  if (targets_.size() >= kMaxTargets) return;
  targets_[address].node = node;
}

std::vector<std::string> DialTargets::Due(Clock::time_point now) const {
  std::vector<std::string> due;
  for (const auto& [address, target] : targets_)
    if (!target.dialling && target.next <= now) due.push_back(address);
  return due;
}

void DialTargets::OnDialling(const std::string& address) {
  const auto found = targets_.find(address);
  if (found != targets_.end()) found->second.dialling = true;
}

void DialTargets::OnIdentified(const std::string& address,
                               const std::string& node) {
  const auto found = targets_.find(address);
  if (found != targets_.end()) found->second.node = node;
}

void DialTargets::OnConnected(const std::string& address) {
  const auto found = targets_.find(address);
  if (found == targets_.end()) return;
  found->second.dialling = false;
  found->second.refused = false;
  found->second.last_error.clear();
  found->second.wait = std::chrono::milliseconds(0);
}

void DialTargets::OnFailed(const std::string& address, const std::string& error,
                           Clock::time_point now) {
  const auto found = targets_.find(address);
  if (found == targets_.end()) return;
  Target& target = found->second;
  target.dialling = false;
  target.refused = false;
  if (target.last_error != error) target.since = now;
  target.last_error = error;
  target.wait = std::clamp(2 * target.wait, retry_min_, retry_max_);
  target.next = now + Jittered(target.wait);
}

void DialTargets::OnRefused(const std::string& address,
                            const std::string& error, Clock::time_point now) {
  OnFailed(address, error, now);
  const auto found = targets_.find(address);
  if (found == targets_.end()) return;
  found->second.refused = true;
  found->second.wait = retry_max_;
  found->second.next = now + Jittered(retry_max_);
}

void DialTargets::OnLost(const std::string& node, Clock::time_point now) {
  for (auto& [address, target] : targets_) {
    if (target.node != node || target.dialling) continue;
    target.wait = retry_min_;
    target.next = now + Jittered(retry_min_);
  }
}

void DialTargets::OnLeft(const std::string& node, Clock::time_point now) {
  std::erase_if(targets_, [&node](const auto& entry) {
    return entry.second.node == node && !entry.second.configured;
  });
  for (auto& [address, target] : targets_) {
    if (target.node != node) continue;
    target.wait = retry_max_;
    target.next = now + Jittered(retry_max_);
  }
}

void DialTargets::OnMoved(const std::string& node, const std::string& address) {
  std::erase_if(targets_, [&](const auto& entry) {
    return entry.second.node == node && entry.first != address &&
           !entry.second.configured;
  });
}

void DialTargets::Forget(const std::string& address) {
  targets_.erase(address);
}

}  // namespace hearsay::transport
