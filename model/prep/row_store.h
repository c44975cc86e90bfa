// The encoded rows of the whole input, in blocks, between being read and being
// dealt to shards. Beyond a limit blocks lie in a file without a name, so that
// memory is bounded whatever the input's size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
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
  // Without rows; what memory it has stays.
  void Clear(BlockPlace where) {
    place = where;
    rows.size = 0;
    groups.clear();
    hashes.clear();
  }

  BlockPlace place;
  EncodedRows rows;
  // Of each row, where rows are dealt by a column: a number, at first the
  // block's own.
  std::vector<std::uint32_t> groups;
  // Of each row's record, where duplicates are looked for.
  std::vector<std::uint64_t> hashes;
};

// What a store has of it.
struct StoredRows {
  RowView rows;
  std::span<const std::uint32_t> groups;
  std::span<const std::uint64_t> hashes;
};

class RowStore {
 public:
  // `folder`: where the file would be made.
  RowStore(std::filesystem::path folder, std::uint64_t memory_bytes);
  ~RowStore();
  RowStore(const RowStore&) = delete;
  RowStore& operator=(const RowStore&) = delete;

  // Takes a copy; blocks are filled where the cache has them, over and over.
  // Any thread. Throws: FileError (the disk is full, ...).
  void Add(const RowBlock& block);

  // In the order of the input. Once all blocks are there.
  void Sort();
  std::size_t size() const { return entries_.size(); }

  // The i-th block; `room` keeps it if it had to be read. Any thread.
  // Throws: FileError.
  StoredRows Get(std::size_t i, std::vector<std::byte>& room) const;

  std::uint64_t spilled_bytes() const { return spilled_; }

 private:
  struct Entry {
    BlockPlace place;
    std::size_t values = 0;  // How many of each there are.
    std::size_t labels = 0;
    std::size_t codes = 0;
    std::size_t groups = 0;
    std::size_t hashes = 0;
    const std::byte* bytes = nullptr;  // nullptr: they are in the file ...
    std::uint64_t at = 0;              // ... there.
  };
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  std::byte* Take(std::size_t bytes);
  void OpenFile();
  std::uint64_t Write(std::span<const std::byte> left, std::uint64_t at) const;
  void Read(std::uint64_t at, std::span<std::byte> left) const;
  [[noreturn]] void Fail(const char* what) const;

  std::filesystem::path folder_;
  std::uint64_t memory_left_;
  std::mutex mutex_;
  std::vector<Entry> entries_;
  std::vector<std::unique_ptr<std::byte, Free>> slabs_;
  std::span<std::byte> slab_;  // What is left of the last.
  std::uint64_t spilled_ = 0;
  int file_ = -1;
};

}  // namespace hearsay::model::prep
