// What a shard's rows were released for before anybody trained on them, and
// that its ledger begins with it.
#pragma once

#include <filesystem>

#include "dp/ledger.h"
#include "model/shard.h"

namespace hearsay::daemon {

// Books into `folder`/ledger what the shard carries and the ledger lacks, each
// charge under a name of its own, so a start that was cut short books none
// twice. Nothing for a shard without charges. On disk when this returns.
// Throws: dp::LedgerError; also where steps are charged and a charge is not:
// such a ledger was not begun for this shard.
void BookCharges(const std::filesystem::path& folder,
                 const model::Shard& shard);

// The ledger that BookCharges would begin.
dp::LedgerContents ChargedLedger(const model::Shard& shard);

}  // namespace hearsay::daemon
