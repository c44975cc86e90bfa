#include "model/prep/row_store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>
#include <utility>

namespace hearsay::model::prep {

namespace {

// A first touch costs a microsecond a page of 4 KiB in a virtual machine, so
// blocks share slabs, in huge pages where there are any.
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kSlab = 4 * kHugePage;

// The arrays of a block as they follow each other: none ends where the next may
// not begin.
auto Arrays(const RowBlock& block) {
  return std::array{std::as_bytes(std::span(block.hashes)),
                    std::as_bytes(std::span(block.rows.values)),
                    std::as_bytes(std::span(block.rows.labels)),
                    std::as_bytes(std::span(block.groups)),
                    std::as_bytes(std::span(block.rows.codes))};
}

// The next array of them.
template <typename T>
std::span<const T> Next(const std::byte*& bytes, std::size_t count) {
  const auto* const first = reinterpret_cast<const T*>(bytes);
  bytes += count * sizeof(T);
  return {first, count};
}

std::uint64_t RoundUp(std::uint64_t bytes, std::uint64_t unit) {
  return (bytes + unit - 1) / unit * unit;
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

// Requires: mutex_ is held.
std::byte* RowStore::Take(std::size_t bytes) {
  if (bytes > slab_.size()) {
    const std::size_t size = std::max(kSlab, RoundUp(bytes, kHugePage));
    slabs_.emplace_back(
        static_cast<std::byte*>(std::aligned_alloc(kHugePage, size)));
    if (!slabs_.back()) throw std::bad_alloc();
    madvise(slabs_.back().get(), size, MADV_HUGEPAGE);  // Advice only.
    slab_ = {slabs_.back().get(), size};
  }
  std::byte* const taken = slab_.data();
  slab_ = slab_.subspan(bytes);
  return taken;
}

void RowStore::Add(const RowBlock& block) {
  const auto arrays = Arrays(block);
  std::uint64_t bytes = 0;
  for (const auto array : arrays) bytes += array.size();
  constexpr std::uint64_t kCacheLine = 64;
  bytes = RoundUp(bytes, kCacheLine);
  Entry entry{block.place,
              block.rows.values.size(),
              block.rows.labels.size(),
              block.rows.codes.size(),
              block.groups.size(),
              block.hashes.size()};
  std::byte* memory = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (bytes > memory_left_) {
      if (file_ < 0) OpenFile();
      entry.at = std::exchange(spilled_, spilled_ + bytes);
    } else {
      memory_left_ -= bytes;
      entry.bytes = memory = Take(bytes);
    }
  }
  std::uint64_t at = entry.at;
  for (const auto array : arrays)
    if (memory != nullptr)
      memory = std::copy(array.begin(), array.end(), memory);
    else
      at = Write(array, at);
  const std::lock_guard lock(mutex_);
  entries_.push_back(entry);
}

// Where it ends.
std::uint64_t RowStore::Write(std::span<const std::byte> left,
                              std::uint64_t at) const {
  while (!left.empty()) {
    const ssize_t wrote =
        pwrite(file_, left.data(), left.size(), static_cast<off_t>(at));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) Fail("write");
    left = left.subspan(static_cast<std::size_t>(wrote));
    at += static_cast<std::uint64_t>(wrote);
  }
  return at;
}

void RowStore::Read(std::uint64_t at, std::span<std::byte> left) const {
  while (!left.empty()) {
    const ssize_t count =
        pread(file_, left.data(), left.size(), static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) Fail("read");
    left = left.subspan(static_cast<std::size_t>(count));
    at += static_cast<std::uint64_t>(count);
  }
}

void RowStore::Sort() {
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.place < b.place; });
}

StoredRows RowStore::Get(std::size_t i, std::vector<std::byte>& room) const {
  const Entry& entry = entries_[i];
  const std::byte* bytes = entry.bytes;
  if (bytes == nullptr) {
    room.resize(entry.hashes * sizeof(std::uint64_t) +
                (entry.values + entry.labels) * sizeof(float) +
                entry.groups * sizeof(std::uint32_t) + entry.codes);
    Read(entry.at, room);
    bytes = room.data();
  }
  StoredRows stored;
  stored.hashes = Next<std::uint64_t>(bytes, entry.hashes);
  stored.rows.values = Next<float>(bytes, entry.values);
  stored.rows.labels = Next<float>(bytes, entry.labels);
  stored.groups = Next<std::uint32_t>(bytes, entry.groups);
  stored.rows.codes = Next<std::uint8_t>(bytes, entry.codes);
  return stored;
}

}  // namespace hearsay::model::prep
