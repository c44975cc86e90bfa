// One node's privacy budget: pays for steps out of blocks reserved in the
// ledger, and says what has been spent.
//
// A block is paid for, on disk, before the first noise of it is drawn. While
// its steps are taken, a thread reserves the next: the trainer does not wait
// for the disk. A crash loses what was reserved and not used;
// daemon/block_sizes.h keeps that small.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <mutex>
#include <optional>

#include "daemon/block_sizes.h"
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
  // That the run wants and the budget allows; not known before the first
  // reservation.
  std::optional<std::uint64_t> steps_left;
  dp::LedgerPosition position;
};

class Budget {
 public:
  Budget(dp::Ledger ledger, const BudgetTerms& terms);

  // True: noise for one more step may be drawn. False: it would pass the
  // target; nothing was charged. `wanted` >= 1: steps the run still wants.
  // Throws: dp::LedgerError, when what was reserved before is used up.
  // Threads: the trainer's.
  [[nodiscard]] bool PayOneStep(std::uint64_t wanted);
  // The same, with the proof that releases ask for; nothing for false.
  std::optional<PaidStep> Pay(std::uint64_t wanted);

  // Gives back what was reserved and not used. Threads: the trainer's.
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
  using Clock = std::chrono::steady_clock;
  struct Reserved {
    std::uint64_t steps = 0;  // 0: none fits.
    std::uint64_t fits = 0;   // Of those that were wanted, these included.
    Clock::duration took{0};
    Clock::duration busy{0};
  };

  // Has `reserver_` reserve some of `wanted` steps, beyond all that is.
  void Begin(std::uint64_t wanted);
  Reserved Reserve(std::uint64_t wanted, std::uint64_t block,
                   Clock::time_point asked);
  // Waits for what was begun, if anything was.
  void Adopt();
  void Publish(double epsilon);

  // The trainer's; the first two are the reserver's while `coming_` is valid.
  dp::Ledger ledger_;
  Spending spending_;
  BlockSizes sizes_;
  BlockSizes::Plan plan_;
  std::uint64_t reserved_unused_ = 0;
  std::uint64_t left_ = 0;  // That fit when a block was last adopted.
  // Since the sizes were told: steps, and what they waited for the disk.
  Clock::time_point told_{};
  std::uint64_t taken_ = 0;
  Clock::duration waited_{0};
  std::future<Reserved> coming_;

  mutable std::mutex mutex_;
  BudgetStatus status_;  // Guarded by mutex_.

  boost::asio::thread_pool reserver_{1};  // Joined before the rest goes.
};

}  // namespace hearsay::daemon
