// What a data set's ledger leaves of a plan: a run pays after all that were
// before it (daemon/spending.h goes by the same rules).
#pragma once

#include <cstdint>
#include <optional>

#include "dp/accountant.h"
#include "dp/ledger.h"

namespace hearsay::ops {

struct LedgerPlan {
  std::uint64_t steps_charged = 0;  // by runs before
  double epsilon_spent = 0;
  std::uint64_t steps_that_fit = 0;  // of those planned
  double epsilon_after = 0;          // those
  // That counts: rdp where the ledger holds steps of another rate or noise,
  // or of exact noise.
  dp::Accountant accountant = dp::Accountant::kRdp;
};

// Throws: std::invalid_argument (delta), as dp::EpsilonOf.
LedgerPlan PlanAfter(const dp::LedgerContents& ledger,
                     const dp::Releases& planned, dp::Accountant accountant,
                     double delta, std::optional<double> target_epsilon);

}  // namespace hearsay::ops
