// Statistics of private rows for `hearsay prep`: where they are paid for, where
// noise is drawn, and where what was released is kept (ops/decisions/0029).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "dp/ledger.h"
#include "dp/random.h"
#include "model/prep/prepare.h"

namespace hearsay::ops {

struct StatisticsPlace {
  // The ledger of the input's rows, and beside it statistics.json, what was
  // released of them. Empty: none.
  std::filesystem::path ledger;
  // What was released of other rows, to encode these by. Empty: none.
  std::filesystem::path released;
};

enum class StatisticsFrom {
  kNow,     // paid for and released
  kBefore,  // from the same rows: paid for then
  kOthers,  // from other rows: these cost nothing
};

// Resolves options.schema, which wants statistics, by such, and says in
// `options` what they cost. A record is in one release for each time that its
// ledger says so, whatever became of it: a crash between charging and keeping
// makes the next run charge again.
// Throws: Exit(kUsage): neither place given, or both; model::FileError: a file
// that is none, or of other columns; dp::LedgerError: then nothing was
// released.
StatisticsFrom ResolveStatistics(const StatisticsPlace& place,
                                 model::prep::PrepareOptions& options);

// Charges one release of all rows; then, and only then, adds to each sum its
// noise of `noise_multiplier` times the reach of SumsReach at least.
// Throws: dp::LedgerError; then `sums` are as they were, and no one's to have.
void ReleaseSums(dp::Ledger& ledger, double noise_multiplier,
                 dp::SecureRandom& random, std::span<std::int64_t> sums);

// How long, in integers, one record's part of the sums may be.
std::int64_t SumsReach(double noise_multiplier);

}  // namespace hearsay::ops
