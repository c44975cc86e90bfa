// The audit: what somebody who knows everything but the coins and the noise can
// tell, from what a node releases, about who was in its data.
//
// Everything that is audited is the product's: shard, Poisson sampler, the
// CPU's clipping, the host's private sum with its noise, budget and ledger,
// optimiser, trainer, live weights. What is looked at is only what a peer could
// see: the difference of successive weights. The data set is synthetic
// (canaries.h) and the coins that choose it are the audit's own; no private
// data is read and no ledger but the audit's, in a folder that is then removed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dp/accountant.h"

namespace hearsay::ops {

struct AuditTerms {
  std::size_t canaries = 5000;
  std::uint64_t steps = 200;
  double sample_rate = 0.1;
  double noise_multiplier = 0;
  double clip_norm = 1;
  double delta = 1e-5;
  dp::Accountant accountant = dp::Accountant::kPld;
  // Of each of the three bounds: the chance that it errs is at most 1 less.
  double confidence = 0.95;
  // Of the coins that choose canaries, and of nothing else.
  std::uint64_t coins = 0;
};

// Something that has to hold whatever the bounds say. `value` within
// [least, most]; the limits leave a sound build one false alarm in 10^7.
struct AuditCheck {
  std::string name;
  double value = 0, least = 0, most = 0;
  bool holds() const { return value >= least && value <= most; }  // Not NaN.
};

struct AuditReport {
  AuditTerms terms;
  double claim = 0;  // Epsilon, by the product's accountant.
  std::size_t included = 0;
  std::size_t guesses = 0;  // Of the one-run bounds.
  std::size_t correct = 0;
  double one_run = 0;  // Lower bounds on epsilon: Steinke et al. 2023,
  double f_dp = 0;     // Mahloujifar et al. 2024,
  double gdp = 0;      // and Nasr et al. 2023.
  // Noise of the released sums, over what was accounted for: of variance, with
  // its interval at `confidence`.
  double noise_variance = 0, noise_low = 0, noise_high = 0;
  std::vector<AuditCheck> checks;
  double seconds = 0;

  bool BoundsHold() const;
  bool ChecksHold() const;
  bool Holds() const { return BoundsHold() && ChecksHold(); }
  const AuditCheck& Check(const std::string& name) const;
};

// `on_step` is called now and then with the steps done.
// Throws: std::invalid_argument (terms); std::runtime_error, LedgerError,
// FileError.
AuditReport RunAudit(const AuditTerms& terms,
                     const std::function<void(std::uint64_t)>& on_step = {});

}  // namespace hearsay::ops
