// The privacy ledger of one data set: what has been released, on disk before it
// is released. It outlives runs and checkpoints.
//
// Append-only text, one record a line, so it can be read with `cat` and
// verified offline. A block of steps is reserved, with fdatasync, before the
// first noise of the block is drawn: a crash loses at most a block of budget
// and never undercounts. The grammar (numbers are one space apart):
//
//   ledger = header record*
//   header = "hearsay-ledger 2 id=" HEX32 " data_set=" TEXT hash
//   record = SEQUENCE " " kind " q=" FLOAT " sigma=" FLOAT " steps=" COUNT
//            [" noise=exact"] " run=" TEXT " nonce=" HEX32 " prev=" HEX64 hash
//   kind   = "reserve" | "settle" | "torn"
//   hash   = " hash=" HEX64 "\n"
//
// FLOAT is hexadecimal (0x1.47ae147ae147bp-7), so it says exactly what was
// charged; TEXT is percent-escaped; `hash` is the SHA-256 of the line before
// it, and `prev` that of the line above; `noise` is said of discrete Gaussian
// noise (dp/grid_sum.h), of which less is proven. A chain, begun by a random
// id, in which every record is random in part (`nonce`): two ways on from one
// record differ, even of a machine whose memory was put back in time and which
// does the same again. It finds accidents and rollbacks; it is no signature. An
// example, hashes shortened:
//
//   hearsay-ledger 2 id=9f..2c data_set=sha256:77..01 hash=5d..90
//   1 reserve q=0x1.4p-7 sigma=0x1p+0 steps=64 run=a@1700000000 nonce=b2..
//   prev=5d.. hash=..
//   2 settle q=0x1.4p-7 sigma=0x1p+0 steps=20 run=a@1700000000 nonce=07..
//   prev=c1.. hash=..
//
// In version 1, which is read and continued, records had no nonce; those added
// to it have.
//
// A `settle` gives back steps of the one or two reservations right above it, of
// the same run, rate and noise: while one is being used, the next may be on its
// way to the disk. A last line that was torn, by a crash or by the disk, is
// charged as a whole reservation:
//   * the line is whole but for its newline: what it says;
//   * no newline, or zero bytes in it (the write never ended, so nothing was
//     released): the most of what can be read of it and of all reservations
//     before it;
//   * a wrong hash alone (it may have been released): the most that a
//     reservation may have there (kMaxBlock steps, or twice the most before it
//     if that is more), if its rate and noise are those of one before it.
// Anything else that does not verify is refused: without a trustworthy ledger
// nobody trains.
//
// Single writer: an exclusive lock, held while open for writing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "dp/rdp.h"

namespace hearsay::dp {

// what() is "PATH: what is wrong and what to do".
class LedgerError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A reservation has at most so many steps or, if that is more, twice as many as
// any before it: what a damaged one may have said is not too dear to charge.
inline constexpr std::uint64_t kMaxBlock = 1024;

enum class LedgerNoise { kGaussian, kExact };

// Where a ledger stands. A checkpoint stores it: a ledger that is behind a
// checkpoint's position, or has another hash there, was rolled back.
struct LedgerPosition {
  std::uint64_t sequence = 0;  // Of the last record; 0 = only the header.
  std::string hash;            // Of that record (or of the header), hex.
};

struct LedgerRecord {
  enum class Kind { kReserve, kSettle, kTorn };
  std::uint64_t sequence = 0;
  Kind kind = Kind::kReserve;
  Releases releases;  // kReserve, kTorn: charged; kSettle: steps given back
  std::string run;    // Who wrote it: node name and start time.
  std::string hash;   // Empty in the kTorn record of a tail not yet recorded.
  LedgerNoise noise = LedgerNoise::kGaussian;
  std::string nonce = {};  // 32 hexadecimal digits; none in version 1.
};

struct LedgerContents {
  std::string id;        // Random: two ledgers of one data set differ.
  std::string data_set;  // Hash of the shard, as given at creation.
  std::vector<LedgerRecord> records;
  LedgerPosition position;  // Of the last record that verifies.
  // Settled, merged by (q, sigma): what the accountant is given.
  std::vector<Releases> charged;
  std::uint64_t charged_steps = 0;
  bool exact = false;  // Some of it is of exact noise: for rdp alone.
  // The tail is torn: the last of `records` says what it costs. The next one
  // to open the ledger for writing records it.
  bool torn = false;
};

// Who released statistics of a data set before anybody trained on it signs so,
// and what for (ops/decisions/0029). It is no step of a run: steps are chosen
// once it is known.
inline constexpr std::string_view kStatisticsRun = "statistics:";
inline bool IsStatistics(const LedgerRecord& record) {
  return record.run.starts_with(kStatisticsRun);
}

class LedgerIo;  // dp/ledger_io.h: the system calls, for tests to cut short.

// Reads and verifies without a lock. While another process writes, a record
// that is half there reads as torn. Throws: LedgerError.
LedgerContents ReadLedger(const std::filesystem::path& file);

// One open, locked ledger. Threads: one at a time.
class Ledger {
 public:
  // Opens or creates `folder`/ledger for `data_set`. A torn tail is charged as
  // a whole reservation (a kTorn record takes its place that says so).
  // Requires: `data_set` not empty, both texts at most 1024 bytes.
  // Throws: LedgerError (locked by another process: its pid if known; corrupt;
  // of another data set; unwritable; disk full); std::invalid_argument.
  Ledger(const std::filesystem::path& folder, const std::string& data_set,
         const std::string& run);
  // The same through `io`, which must outlive it.
  Ledger(const std::filesystem::path& folder, const std::string& data_set,
         const std::string& run, LedgerIo& io);
  ~Ledger();
  Ledger(Ledger&&) noexcept;
  Ledger& operator=(Ledger&&) noexcept;

  // Charges `releases.steps` steps. When this returns, the record is on disk.
  // Requires: 1 <= steps <= most_steps(), 0 <= q <= 1, 0 <= sigma < infinity.
  // Throws: LedgerError; then nothing may be released and the ledger is closed
  // for writing. std::invalid_argument; then nothing has changed.
  void Reserve(const Releases& releases,
               LedgerNoise noise = LedgerNoise::kGaussian);

  // Gives back what was not used of the last reservation of this process, and
  // of the one before it where its rate and noise are the same, when training
  // has ended in order: noise of those steps was never drawn.
  // Requires: unused_steps <= steps of those; once a reservation.
  // Throws: LedgerError, as Reserve; std::invalid_argument (also in another
  // process or without a reservation: nobody gives back what is not theirs).
  void Settle(std::uint64_t unused_steps);

  // Of the header. Whoever knows it can tell from a hash of the chain whether a
  // guess of `data_set` is right: it stays where the ledger is.
  const std::string& id() const;
  const LedgerPosition& position() const;
  std::uint64_t charged_steps() const;
  // That the next reservation may have.
  std::uint64_t most_steps() const;
  // Merged by (q, sigma), what was given back taken off.
  std::vector<Releases> charged() const;
  // Some of it is of exact noise: divergences count, whatever the accountant.
  bool exact() const;
  // The first reservation of a run, as it was written; nothing before it.
  std::optional<Releases> first() const;
  // What was charged for statistics, as it was written.
  const std::vector<Releases>& statistics() const;
  // Over all runs on this data set, by Renyi divergences.
  // Throws: std::invalid_argument (delta).
  EpsilonBound Epsilon(double delta) const;
  // Largest block <= `wanted` whose reservation keeps epsilon <= target. May be
  // asked about more steps than one block has.
  // Throws: std::invalid_argument (as RdpAccountant; a NaN target).
  std::uint64_t StepsThatFit(const Releases& wanted, double delta,
                             double target_epsilon) const;
  // True if `position` (from a checkpoint) is a record of this very ledger.
  bool Contains(const LedgerPosition& position) const;
  // Of record `sequence` (0: the header), if there is one. Threads: any.
  std::optional<std::string> HashAt(std::uint64_t sequence) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearsay::dp
