// Load balance of trainers in step (mixing/balance.h): every so many steps each
// member measures its speed, all tell each other, and each samples at another
// rate from then on, which its ledger charges. A speed is public: no batch of
// a step is in it (private_gradient.h).
//
// Threads: the trainer's.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "daemon/budget.h"
#include "daemon/company.h"
#include "daemon/live_weights.h"
#include "daemon/meetings.h"
#include "daemon/mixing/balance.h"
#include "daemon/private_gradient.h"
#include "model/arena.h"

namespace hearsay::daemon {

struct BalancerOptions {
  mixing::BalanceTerms terms;
  std::uint64_t every_steps = 100;  // a phase
  std::uint64_t steps = 0;          // of the run
  // As the trainer's: what is slowed is slow.
  std::chrono::microseconds min_step_time{0};
  double throttle = 1;
};

class Balancer final : public Company {
 public:
  // References must outlive this. `tell` hears of each phase.
  Balancer(const BalancerOptions& options, Meetings& meetings,
           const LiveWeights& weights, PrivateGradient& gradient,
           const Budget& budget, std::function<void(std::string)> tell);

  bool OnGradient(std::span<float> gradient) override;
  bool OnStep(std::uint64_t step) override;

 private:
  double Speed();

  const BalancerOptions options_;
  Meetings& meetings_;
  const LiveWeights& weights_;
  PrivateGradient& gradient_;
  const Budget& budget_;
  const std::function<void(std::string)> tell_;
  model::Arena copy_;
};

}  // namespace hearsay::daemon
