// Deals the rows of a store to shards and writes those, whatever their number,
// with bounded memory: as many at once as a process may have files open.
#pragma once

#include <filesystem>
#include <vector>

#include "model/prep/gather.h"
#include "model/prep/partition.h"
#include "model/prep/row_store.h"
#include "model/shard.h"

namespace hearsay::model::prep {

struct ShardPlan {
  std::filesystem::path file;
  ShardContents head;  // Without rows.
  std::uint64_t rows = 0;
  // What was written: rows of each class; empty for regression.
  std::vector<std::uint64_t> class_counts = {};
};

// plans[i] gets the rows of deal.parts()[i], the one behind them the
// evaluation's. Rows stay in the order of the input; the bytes do not depend on
// the number of threads. Requires: store.Sort() was called.
// Throws: FileError; what was already written is the caller's to remove.
void WriteShards(const RowStore& store, const Loaded& loaded, const Deal& deal,
                 std::vector<ShardPlan>& plans, int threads);

// Where each row of the block goes. `owners` is overwritten.
void Assign(const StoredRows& block, const std::vector<StratumRun>& runs,
            const Deal& deal, std::vector<std::uint32_t>& owners);

}  // namespace hearsay::model::prep
