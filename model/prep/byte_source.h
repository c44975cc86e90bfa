// A file's bytes, unpacked if they are gzip or zstd: by their first bytes, not
// by the file's name (but a name in .gz or .zst promises that it is).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "model/safetensors.h"  // FileError

namespace hearsay::model::prep {

// Memory: a block of the file, and what unpacking it needs (zstd: a window of
// 128 MiB at most; files that want more are refused).
class ByteSource {
 public:
  // Throws: FileError (missing, a folder, ...).
  explicit ByteSource(const std::filesystem::path& path);
  // The same of bytes in memory; `name` is what errors call them.
  ByteSource(std::string bytes, const std::filesystem::path& name);
  ~ByteSource();
  ByteSource(ByteSource&&) noexcept;
  ByteSource& operator=(ByteSource&&) noexcept;

  // Bytes put into `out`; 0 only at the end.
  // Throws: FileError (unreadable, damaged or truncated).
  std::size_t Read(char* out, std::size_t capacity);

  // Of the file as it lies on disk, for progress; size 0: not known (a pipe).
  std::uint64_t consumed() const;
  std::uint64_t size() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace hearsay::model::prep
