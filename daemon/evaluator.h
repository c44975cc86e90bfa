// Evaluates the live weights, or their moving average if one is kept, on the
// public evaluation set, on a thread of its own, taking at most about a
// twentieth of a core.
//
// Egress class of the result: released (noised weights, public data).
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "daemon/ema.h"
#include "daemon/live_weights.h"
#include "model/network.h"
#include "model/shard.h"

namespace hearsay::daemon {

struct EvalResult {
  double loss = 0;
  std::optional<double> accuracy;  // Nothing for regression.
};

class Evaluator {
 public:
  // References must outlive this, and `ema`, if any.
  Evaluator(std::unique_ptr<model::Network> network, int max_batch,
            const model::Shard& shard, const LiveWeights& weights,
            const Ema* ema = nullptr);
  ~Evaluator();

  // The latest; nothing before the first. Threads: any.
  std::optional<EvalResult> latest() const;

 private:
  void Run();
  EvalResult Evaluate();

  const std::unique_ptr<model::Network> network_;  // The thread's.
  const std::size_t max_batch_;
  const model::Shard& shard_;
  const LiveWeights& weights_;
  const Ema* const ema_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<EvalResult> latest_;  // Guarded by mutex_.
  bool stop_ = false;                 // Guarded by mutex_.
  std::thread thread_;
};

// One pass over all of `shard`, in batches of up to `max_batch`.
EvalResult EvaluateShard(model::Network& network, std::size_t max_batch,
                         const model::Shard& shard,
                         std::span<const float> weights);

}  // namespace hearsay::daemon
