// Looks for the same record in several shards: there it would be protected half
// as well as promised, as each shard's budget is spent on it. Records are the
// same if their bytes in the input are; of people who only look alike in coarse
// data, that is no proof that they are one.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "model/prep/gather.h"
#include "model/prep/partition.h"
#include "model/prep/prepare.h"

namespace hearsay::model::prep {

// Memory: 16 bytes a row. By 64-bit hashes: of a billion different records, two
// look the same with probability 0.03.
class DuplicateFinder {
 public:
  // Requires: the store's blocks have hashes.
  void Add(const RowStore& store, const Loaded& loaded, const Deal& deal);
  // All of them in this shard.
  void Add(const RowStore& store, const Loaded& loaded, const Deal& deal,
           std::uint32_t shard);
  Duplicates Find();

 private:
  std::vector<std::pair<std::uint64_t, std::uint32_t>> seen_;  // Hash, shard.
};

}  // namespace hearsay::model::prep
