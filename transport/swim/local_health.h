// How far this node should trust its own senses: missed acks may be its own
// slowness, and then it waits longer before it accuses anybody.
//
// Source: Dadgar, Phillips, Currey. "Lifeguard" (2017), section IV.A, Local
// Health Multiplier.
#pragma once

#include <algorithm>

#include "transport/swim/settings.h"

namespace hearsay::transport::swim {

class LocalHealth {
 public:
  explicit LocalHealth(const Settings& settings)
      : worst_(settings.lifeguard ? settings.health_limit - 1 : 0) {}

  // Positive for evidence that this node is slow.
  void Add(int evidence) { score_ = std::clamp(score_ + evidence, 0, worst_); }
  // 0: in good health.
  int score() const { return score_; }
  Milliseconds Scaled(Milliseconds wait) const { return wait * (score_ + 1); }

 private:
  int worst_;
  int score_ = 0;
};

}  // namespace hearsay::transport::swim
