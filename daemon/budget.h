// One node's privacy budget: pays for steps out of blocks reserved in the
// ledger, and says what has been spent.
//
// A block is paid for, on disk, before the first noise of it is drawn. Blocks
// begin small and grow until reserving costs less than 1 % of the time their
// steps take; a crash loses at most one block of budget.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

#include "daemon/egress.h"
#include "daemon/spending.h"
#include "dp/ledger.h"

namespace hearsay::daemon {

// Egress class of every field: public (functions of q, sigma and step counts).
struct BudgetStatus {
  BudgetTerms terms;
  dp::Accountant accountant = dp::Accountant::kRdp;  // The one that counts.
  // Of everything in the ledger, reservations included: no less. Exact once
  // the run has ended; see daemon/spending.h.
  double epsilon = 0;
  std::uint64_t steps_charged = 0;
  std::uint64_t steps_left = 0;  // That the run wants and the budget allows.
  dp::LedgerPosition position;
};

class Budget {
 public:
  Budget(dp::Ledger ledger, const BudgetTerms& terms);

  // True: noise for one more step may be drawn. False: it would pass the
  // target; nothing was charged. `wanted` >= 1: steps the run still wants.
  // Throws: dp::LedgerError. Threads: the trainer's.
  [[nodiscard]] bool PayOneStep(std::uint64_t wanted);
  // The same, with the proof that releases ask for; nothing for false.
  std::optional<PaidStep> Pay(std::uint64_t wanted);

  // Gives the unused rest of the last block back. Threads: the trainer's.
  void Settle();

  // Steps from the next one on are paid for at this (effective) sample rate;
  // what was reserved at the one before and not used is given back.
  // Throws: dp::LedgerError. Threads: the trainer's.
  void ChangeSampleRate(double sample_rate);

  // Of all that has been charged and `steps` more at the rate in force.
  // Threads: the trainer's.
  double EpsilonAfter(std::uint64_t steps) const;

  // A lower (never a higher) target, from a reloaded configuration.
  // Returns false if it is not lower. Threads: any.
  bool LowerTarget(double target_epsilon);

  // Threads: any.
  BudgetStatus status() const;

  // See dp::Ledger. Threads: any.
  const std::string& ledger_id() const { return ledger_.id(); }
  std::optional<std::string> HashAt(std::uint64_t sequence) const {
    return ledger_.HashAt(sequence);
  }

 private:
  bool ReserveBlock(std::uint64_t wanted);
  void Publish(double epsilon, std::uint64_t fits_beyond);

  // The trainer's.
  dp::Ledger ledger_;
  Spending spending_;
  std::uint64_t reserved_unused_ = 0;
  std::uint64_t block_;
  std::chrono::steady_clock::time_point block_began_;

  mutable std::mutex mutex_;
  BudgetStatus status_;  // Guarded by mutex_.
};

}  // namespace hearsay::daemon
