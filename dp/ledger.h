// The privacy ledger of one data set: what has been released, on disk before it
// is released. It outlives runs and checkpoints.
//
// Append-only text, one record a line, each carrying its sequence number, the
// hash of the line before it and a checksum of its own, so it can be read with
// `cat` and verified offline. A block of steps is reserved, with fdatasync,
// before the first noise of the block is drawn: a crash loses at most a block
// of budget and never undercounts. A torn last line counts as a spent
// reservation. Anything else that does not verify is refused: without a
// trustworthy ledger nobody trains.
//
// Single writer: an exclusive lock, held while open for writing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "dp/rdp.h"

namespace hearsay::dp {

// what() is "PATH: what is wrong and what to do".
class LedgerError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Where a ledger stands. A checkpoint stores it: a ledger that is behind a
// checkpoint's position, or has another hash there, was rolled back.
struct LedgerPosition {
  std::uint64_t sequence = 0;  // Of the last record; 0 = only the header.
  std::string hash;            // Of that record, hex.
};

struct LedgerRecord {
  enum class Kind { kReserve, kSettle, kTorn };
  std::uint64_t sequence = 0;
  Kind kind = Kind::kReserve;
  Releases releases;  // kReserve, kTorn: charged; kSettle: steps given back
  std::string run;    // Who wrote it: node name and start time.
  std::string hash;
};

struct LedgerContents {
  std::string data_set;  // Hash of the shard, as given at creation.
  std::vector<LedgerRecord> records;
  LedgerPosition position;
  // Settled, merged by (q, sigma): what the accountant is given.
  std::vector<Releases> charged;
  std::uint64_t charged_steps = 0;
  bool torn = false;
};

// Reads and verifies without a lock. Throws: LedgerError.
LedgerContents ReadLedger(const std::filesystem::path& file);

// One open, locked ledger. Threads: one at a time.
class Ledger {
 public:
  // Opens or creates `folder`/ledger for `data_set`. A torn tail is charged as
  // a whole reservation (a kTorn record is appended that says so).
  // Throws: LedgerError (locked by another process: its pid if known; corrupt;
  // of another data set; unwritable; disk full).
  Ledger(const std::filesystem::path& folder, const std::string& data_set,
         const std::string& run);
  ~Ledger();
  Ledger(Ledger&&) noexcept;
  Ledger& operator=(Ledger&&) noexcept;

  // Charges `releases.steps` steps. When this returns, the record is on disk.
  // Throws: LedgerError; then nothing may be released and the ledger is closed
  // for writing.
  void Reserve(const Releases& releases);

  // Gives back the unused rest of the last reservation of this process, when
  // training has ended in order: noise of those steps was never drawn.
  // Requires: unused_steps <= steps of that reservation; once a reservation.
  void Settle(std::uint64_t unused_steps);

  const LedgerPosition& position() const;
  std::uint64_t charged_steps() const;
  // Over all runs on this data set.
  EpsilonBound Epsilon(double delta) const;
  // Largest block <= `wanted` whose reservation keeps epsilon <= target.
  std::uint64_t StepsThatFit(const Releases& wanted, double delta,
                             double target_epsilon) const;
  // True if `position` (from a checkpoint) is a record of this very ledger.
  bool Contains(const LedgerPosition& position) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearsay::dp
