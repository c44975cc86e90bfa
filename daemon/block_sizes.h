// How many steps to reserve at once in the ledger, and how early to begin with
// the next ones, from what was measured of the disk and of the steps.
//
// A reservation is written while the steps of the one before it are taken, so a
// block need not outweigh what the disk takes: it only has to outlast it, and
// to outweigh the processor's part, which does come out of the steps. Blocks
// are no larger than that, because a crash loses what was reserved and not
// used; they shrink again when the disk gets faster. Pure: no clock of its own.
#pragma once

#include <chrono>
#include <cstdint>

namespace hearsay::daemon {

// Threads: one at a time.
class BlockSizes {
 public:
  using Duration = std::chrono::steady_clock::duration;

  // A crash loses at most so many steps, or kLossShare of those that are left
  // if that is more. Both together: the block and what it was begun ahead.
  static constexpr std::uint64_t kMostLost = 1024;
  static constexpr std::uint64_t kLossShare = 100;
  static constexpr std::uint64_t kFirstBlock = 16;

  // `steps` steps took `time`, without what they waited for a reservation.
  void OnSteps(std::uint64_t steps, Duration time);
  // A reservation was on disk after `took`, of which a processor was busy for
  // `busy` with it.
  void OnReserved(Duration took, Duration busy);

  struct Plan {
    std::uint64_t block = kFirstBlock;
    // The next reservation is begun when so many steps are paid for and not
    // taken.
    std::uint64_t ahead = kFirstBlock / 2;
  };
  // `left`: steps that the run wants and the budget allows.
  Plan For(std::uint64_t left) const;

 private:
  // Seconds. Changes that ask for more steps are believed at once, others by
  // a quarter each time; of the processor's part, which is an average's matter,
  // the smaller of the last two counts: the first works out what others reuse.
  double step_ = 0;
  double took_ = 0;
  double busy_ = 0;
  double busy_before_ = 0;
};

}  // namespace hearsay::daemon
