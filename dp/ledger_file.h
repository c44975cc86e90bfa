// The file of a ledger: opened, locked, read whole, appended to, replaced
// whole. Knows nothing of what the bytes mean. Inside dp/ only.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "dp/ledger_io.h"

namespace hearsay::dp {

// A file descriptor, closed at the end.
class OwnedFile {
 public:
  OwnedFile() = default;
  explicit OwnedFile(int file) : file_(file) {}
  ~OwnedFile();
  OwnedFile(OwnedFile&& other) noexcept
      : file_(std::exchange(other.file_, -1)) {}
  OwnedFile& operator=(OwnedFile&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  int get() const { return file_; }

 private:
  int file_ = -1;
};

// All bytes of `path`. Throws: LedgerError.
std::string ReadWholeFile(const std::filesystem::path& path);

// Throws: LedgerError, everywhere. Threads: one at a time.
class LedgerFile {
 public:
  // Opens `path` and locks it. Where there is none, one appears whole, holding
  // `first` alone, its folder too.
  LedgerFile(std::filesystem::path path, std::string_view first, LedgerIo& io);

  // What the file holds now.
  std::string Read() const { return ReadWholeFile(path_); }

  // Adds `line`; it is on disk when this returns. After a failure the file
  // accepts nothing more.
  void Append(std::string_view line);

  // Makes `bytes` the content, all of it or, if it fails, nothing.
  void Replace(std::string_view bytes);

  const std::filesystem::path& path() const { return path_; }

 private:
  void OpenAndLock(std::string_view first);
  void Create(std::string_view first);
  // A file beside `path` that holds `bytes`, on disk.
  OwnedFile WriteAside(const std::filesystem::path& aside,
                       std::string_view bytes);
  void WriteAll(int file, std::string_view bytes,
                const std::filesystem::path& path);
  void SyncFolder(const std::filesystem::path& folder);
  void CheckUntouched() const;

  std::filesystem::path path_;
  LedgerIo* io_;
  OwnedFile file_;
  std::size_t size_ = 0;
  pid_t owner_ = 0;
  bool failed_ = false;
};

}  // namespace hearsay::dp
