// The text of a ledger: pure functions between lines and records, no files.
// Inside dp/ only. The grammar is in ledger.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "dp/ledger.h"

namespace hearsay::dp {

// No record of more steps is written; a sum of them cannot overflow.
inline constexpr std::uint64_t kMostSteps = std::uint64_t{1} << 40;

// A ledger begins with this line. `id` is 32 hexadecimal digits.
std::string FormatHeader(const std::string& id, const std::string& data_set);

// The line of `record`; sets record.hash. `previous` is the hash of the line
// above.
std::string FormatRecord(const std::string& previous, LedgerRecord& record);

struct ParsedLedger {
  LedgerContents contents;
  std::string header_hash;
  std::size_t verified_bytes = 0;  // A torn tail begins here.
};

// Verifies all of `bytes`. `name` is the file's, for messages.
// Throws: LedgerError.
ParsedLedger ParseLedger(std::string_view bytes, const std::string& name);

// The settled sum of `records`, merged by (q, sigma).
std::vector<Releases> ChargedReleases(const std::vector<LedgerRecord>& records);

}  // namespace hearsay::dp
