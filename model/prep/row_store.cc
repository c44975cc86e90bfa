#include "model/prep/row_store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <utility>

namespace hearsay::model::prep {

namespace {

// The arrays of a block, as they follow each other in the file.
template <typename Block>
auto Arrays(Block& block) {
  const auto bytes = [](auto& vector) {
    if constexpr (std::is_const_v<Block>)
      return std::as_bytes(std::span(vector));
    else
      return std::as_writable_bytes(std::span(vector));
  };
  return std::array{bytes(block.rows.values), bytes(block.rows.labels),
                    bytes(block.rows.codes), bytes(block.groups),
                    bytes(block.hashes)};
}

std::uint64_t Bytes(const RowBlock& block) {
  std::uint64_t sum = 0;
  for (const auto bytes : Arrays(block)) sum += bytes.size();
  return sum;
}

}  // namespace

RowStore::RowStore(std::filesystem::path folder, std::uint64_t memory_bytes)
    : folder_(std::move(folder)), memory_left_(memory_bytes) {}

RowStore::~RowStore() {
  if (file_ >= 0) close(file_);
}

void RowStore::Fail(const char* what) const {
  throw FileError(folder_.string() + ": cannot " + what +
                  " a temporary file here: " + std::strerror(errno));
}

void RowStore::OpenFile() {
  std::string name = (folder_ / "prep-XXXXXX").string();
  file_ = mkostemp(name.data(), O_CLOEXEC);
  if (file_ < 0) Fail("make");
  unlink(name.c_str());  // It goes with this process, however that ends.
}

void RowStore::Add(RowBlock block) {
  const std::uint64_t bytes = Bytes(block);
  Entry entry;
  {
    const std::lock_guard lock(mutex_);
    entry.spilled = bytes > memory_left_;
    if (entry.spilled) {
      if (file_ < 0) OpenFile();
      entry.at = std::exchange(spilled_, spilled_ + bytes);
    } else {
      memory_left_ -= bytes;
    }
  }
  if (entry.spilled) {
    std::uint64_t at = entry.at;
    for (auto left : Arrays(std::as_const(block)))
      while (!left.empty()) {
        const ssize_t wrote =
            pwrite(file_, left.data(), left.size(), static_cast<off_t>(at));
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) Fail("write");
        left = left.subspan(static_cast<std::size_t>(wrote));
        at += static_cast<std::uint64_t>(wrote);
      }
    entry.block.place = block.place;
    entry.block.rows.code_columns = block.rows.code_columns;
    entry.block.rows.value_columns = block.rows.value_columns;
    entry.block.rows.size = block.rows.size;
    entry.has_groups = !block.groups.empty();
    entry.has_hashes = !block.hashes.empty();
  } else {
    entry.block = std::move(block);
  }
  const std::lock_guard lock(mutex_);
  entries_.push_back(std::move(entry));
}

void RowStore::Sort() {
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) {
              return a.block.place < b.block.place;
            });
}

const RowBlock& RowStore::Get(std::size_t i, RowBlock& room) const {
  const Entry& entry = entries_[i];
  if (!entry.spilled) return entry.block;
  room.place = entry.block.place;
  room.rows.code_columns = entry.block.rows.code_columns;
  room.rows.value_columns = entry.block.rows.value_columns;
  room.rows.size = entry.block.rows.size;
  room.rows.Trim();
  room.groups.resize(entry.has_groups ? room.rows.size : 0);
  room.hashes.resize(entry.has_hashes ? room.rows.size : 0);
  std::uint64_t at = entry.at;
  for (auto left : Arrays(room))
    while (!left.empty()) {
      const ssize_t count =
          pread(file_, left.data(), left.size(), static_cast<off_t>(at));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) Fail("read");
      left = left.subspan(static_cast<std::size_t>(count));
      at += static_cast<std::uint64_t>(count);
    }
  return room;
}

}  // namespace hearsay::model::prep
