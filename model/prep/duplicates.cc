#include "model/prep/duplicates.h"

#include <algorithm>

#include "model/prep/write_shards.h"

namespace hearsay::model::prep {

void DuplicateFinder::Add(const RowStore& store, const Loaded& loaded,
                          const Deal& deal) {
  std::vector<std::uint32_t> owners;
  std::vector<std::byte> room;
  for (std::size_t i = 0; i < store.size(); ++i) {
    const StoredRows block = store.Get(i, room);
    Assign(block, loaded.runs[i], deal, owners);
    for (std::size_t row = 0; row < owners.size(); ++row)
      seen_.emplace_back(block.hashes[row], owners[row]);
  }
}

void DuplicateFinder::Add(const RowStore& store, const Loaded& loaded,
                          const Deal& deal, std::uint32_t shard) {
  const std::size_t before = seen_.size();
  Add(store, loaded, deal);
  for (std::size_t i = before; i < seen_.size(); ++i) seen_[i].second = shard;
}

Duplicates DuplicateFinder::Find() {
  // The first of equal records stays the first of its hash.
  std::stable_sort(
      seen_.begin(), seen_.end(),
      [](const auto& a, const auto& b) { return a.first < b.first; });
  Duplicates found;
  for (std::size_t i = 1, first = 0; i < seen_.size(); ++i) {
    if (seen_[i].first != seen_[first].first) {
      first = i;
      continue;
    }
    ++found.records;
    found.across += seen_[i].second != seen_[first].second ? 1 : 0;
  }
  return found;
}

}  // namespace hearsay::model::prep
