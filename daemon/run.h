// Everything about one training run that needs no network: the model, the data,
// the budget, the gradient source, the optimiser, the weights they start from.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "daemon/budget.h"
#include "daemon/checkpoint.h"
#include "daemon/config.h"
#include "daemon/ema.h"
#include "daemon/evaluator.h"
#include "daemon/events.h"
#include "daemon/gradient_source.h"
#include "daemon/live_weights.h"
#include "daemon/private_gradient.h"
#include "model/optimizer.h"
#include "model/shard.h"

namespace hearsay::daemon {

struct Run {
  CheckpointIdentity identity;
  std::uint64_t first_step = 0;  // 0: a fresh run
  // Absent with a probe, which reads no data and spends nothing.
  std::optional<model::Shard> train;
  std::optional<model::Shard> eval;
  std::unique_ptr<Budget> budget;
  PrivateGradient* private_gradient = nullptr;  // `source`, if it is one

  std::unique_ptr<GradientSource> source;
  std::unique_ptr<model::Optimizer> optimizer;
  std::unique_ptr<LiveWeights> weights;
  std::unique_ptr<Ema> ema;              // Absent without train.ema.
  std::unique_ptr<Evaluator> evaluator;  // Absent without data.eval.

  // Why nothing is claimed, if so: no noise, a probe. Egress: public.
  std::string claim_void;
};

// Opens, checks and resumes. Nothing is left half-made on an error.
// Throws: ConfigError (the model does not fit the data), model::FileError,
// dp::LedgerError, CheckpointError.
Run PrepareRun(const Config& config, Events& events);

// Hex SHA-256, shortened to 32 digits, of the model's canonical text and of
// what its inputs mean: equal on all nodes that may mix.
std::string ModelFingerprint(const std::string& canonical,
                             const std::string& schema_fingerprint);

}  // namespace hearsay::daemon
