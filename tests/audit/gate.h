// The terms of the gate: claim epsilon 4 of 200 steps at a rate of a tenth.
#pragma once

#include "dp/accountant.h"
#include "ops/audit/audit.h"

namespace hearsay::tests {

inline ops::AuditTerms GateTerms() {
  ops::AuditTerms terms;
  terms.noise_multiplier = dp::CalibrateNoise(
      terms.accountant, terms.sample_rate, terms.steps, terms.delta, 4);
  terms.coins = 1;  // Noise and sampling differ from run to run all the same.
  return terms;
}

}  // namespace hearsay::tests
