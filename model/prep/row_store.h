// The encoded rows of the whole input, in blocks, between being read and being
// dealt to shards. Beyond a limit blocks lie in a file without a name, so that
// memory is bounded whatever the input's size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <vector>

#include "model/prep/encoded_rows.h"
#include "model/safetensors.h"  // FileError

namespace hearsay::model::prep {

// Where a block stands in the input.
struct BlockPlace {
  std::uint64_t file = 0;
  std::uint64_t index = 0;  // In its file.
  auto operator<=>(const BlockPlace&) const = default;
};

struct RowBlock {
  BlockPlace place;
  EncodedRows rows;
  // Of each row, where rows are dealt by a column: a number, at first the
  // block's own.
  std::vector<std::uint32_t> groups;
  // Of each row's record, where duplicates are looked for.
  std::vector<std::uint64_t> hashes;
};

class RowStore {
 public:
  // `folder`: where the file would be made.
  RowStore(std::filesystem::path folder, std::uint64_t memory_bytes);
  ~RowStore();
  RowStore(const RowStore&) = delete;
  RowStore& operator=(const RowStore&) = delete;

  // Any thread. Throws: FileError (the disk is full, ...).
  void Add(RowBlock block);

  // In the order of the input. Once all blocks are there.
  void Sort();
  std::size_t size() const { return entries_.size(); }
  BlockPlace place(std::size_t i) const { return entries_[i].block.place; }
  std::size_t rows(std::size_t i) const { return entries_[i].block.rows.size; }

  // The i-th block; `room` keeps it if it had to be read. Any thread.
  // Throws: FileError.
  const RowBlock& Get(std::size_t i, RowBlock& room) const;

  std::uint64_t spilled_bytes() const { return spilled_; }

 private:
  struct Entry {
    RowBlock block;  // If it is in the file: sizes, no bytes.
    std::uint64_t at = 0;
    bool spilled = false;
    bool has_groups = false;
    bool has_hashes = false;
  };

  void OpenFile();
  [[noreturn]] void Fail(const char* what) const;

  std::filesystem::path folder_;
  std::uint64_t memory_left_;
  std::mutex mutex_;
  std::vector<Entry> entries_;
  std::uint64_t spilled_ = 0;
  int file_ = -1;
};

}  // namespace hearsay::model::prep
