// The system calls that a ledger's promise rests on. Tests replace them, to
// fail or cut short the n-th one; everybody else uses SystemLedgerIo.
//
// Each returns what the call of its name in POSIX returns, errno included.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <span>

namespace hearsay::dp {

class LedgerIo {
 public:
  virtual ~LedgerIo() = default;
  virtual ssize_t Write(int file, std::span<const char> bytes);
  virtual int DataSync(int file);
  virtual int Sync(int file);  // Of a new file, and of a folder.
  virtual int Truncate(int file, off_t size);
  virtual int Link(const std::filesystem::path& from,
                   const std::filesystem::path& to);
  virtual int Rename(const std::filesystem::path& from,
                     const std::filesystem::path& to);
};

LedgerIo& SystemLedgerIo();

}  // namespace hearsay::dp
