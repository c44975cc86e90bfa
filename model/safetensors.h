// Reading (memory-mapped) and writing (aside, synced, renamed) of safetensors:
// shards, checkpoints and exported weights are all this one format, so any tool
// that reads safetensors reads ours. Format: an 8-byte little-endian header
// length, a JSON header, then the tensors' bytes.
//
// Files that we write carry "hearsay.checksum" in the metadata: XXH3-128 of the
// whole file with the digits of the checksum itself taken as '0', so that a
// flipped bit anywhere is noticed. Files of others have none and are accepted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace hearsay::model {

// what() is "PATH: what is wrong".
class FileError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws: FileError that names the file.
[[noreturn]] inline void Fail(const std::filesystem::path& path,
                              const std::string& what) {
  throw FileError(path.string() + ": " + what);
}

enum class DType { kU8, kI32, kI64, kF32, kF64 };

struct Tensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;  // Not owned.
};

using Metadata = std::map<std::string, std::string>;

enum class Checksum { kIfPresent, kRequired };

class SafetensorsFile {
 public:
  // Maps and checks the whole file: header syntax, shapes, offsets inside the
  // file, neither overlapping nor leaving holes, checksum. tensors() are in the
  // order of their bytes.
  // Throws: FileError.
  static SafetensorsFile Open(const std::filesystem::path& path,
                              Checksum checksum = Checksum::kIfPresent);
  // The same of bytes in memory; `name` is what errors call them.
  static SafetensorsFile Parse(std::string bytes,
                               const std::filesystem::path& name,
                               Checksum checksum = Checksum::kIfPresent);

  const std::vector<Tensor>& tensors() const { return tensors_; }
  const Metadata& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return path_; }
  // Throws: FileError if there is no such tensor, or not of that type.
  std::span<const float> Floats(const std::string& name) const;
  std::span<const std::uint8_t> Bytes(const std::string& name) const;
  const Tensor& At(const std::string& name) const;

 private:
  static SafetensorsFile Read(std::shared_ptr<const std::byte> data,
                              std::size_t size,
                              const std::filesystem::path& path,
                              Checksum checksum);

  std::filesystem::path path_;
  std::shared_ptr<const std::byte> mapping_;
  std::size_t size_ = 0;
  std::vector<Tensor> tensors_;
  Metadata metadata_;
};

// Replaces `path` whole or not at all: temporary beside it, fdatasync, rename,
// fsync of the folder. Adds "hearsay.format" and "hearsay.checksum" to the
// metadata. Data starts at a multiple of 64 bytes; in the file the widest types
// come first, so that every element is aligned to its own size.
// Throws: FileError (disk full, read-only, ...); the temporary is removed.
// std::invalid_argument: bytes that do not fit their shape, a name used twice,
// text that is not UTF-8.
void WriteSafetensors(const std::filesystem::path& path,
                      const std::vector<Tensor>& tensors,
                      const Metadata& metadata);

// The same for bytes that come in pieces: those of each tensor in their order,
// tensors in any. Nothing is there before Commit(), and nothing if it is not
// called.
class SafetensorsWriter {
 public:
  // `tensors` without bytes. Throws: as WriteSafetensors.
  SafetensorsWriter(const std::filesystem::path& path,
                    const std::vector<Tensor>& tensors,
                    const Metadata& metadata);
  ~SafetensorsWriter();
  SafetensorsWriter(SafetensorsWriter&&) noexcept;

  // Appends to the tensor that the constructor was given at this index.
  // Throws: FileError; std::invalid_argument: more than its shape holds.
  void Append(std::size_t tensor, std::span<const std::byte> bytes);
  // The first half of Commit, which is work: reads what was not written in the
  // order of the file once more, for the checksum.
  // Throws: FileError; std::invalid_argument: a tensor is not complete.
  void Complete();
  // The other half is waiting for the disk. Throws: FileError; what Complete
  // does, if that was not called or has failed.
  void Commit();

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

// The file's bytes, as WriteSafetensors would write them.
std::string EncodeSafetensors(const std::vector<Tensor>& tensors,
                              const Metadata& metadata);

}  // namespace hearsay::model
