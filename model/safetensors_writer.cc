#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <utility>

#include "model/digest.h"
#include "model/safetensors.h"
#include "model/safetensors_format.h"

namespace hearsay::model {

namespace {

// Data starts at a cache line, whatever the header's length.
constexpr std::size_t kAlignment = 64;

struct Layout {
  std::string header;        // Length, JSON and padding; the checksum is zeros.
  std::size_t checksum = 0;  // Where its digits are.
  std::vector<const Tensor*> tensors;  // In the order of the file.
};

std::uint64_t Size(const Tensor& tensor) {
  const auto size = format::SizeInBytes(tensor.dtype, tensor.shape);
  if (size) return *size;
  throw std::invalid_argument("safetensors: tensor \"" + tensor.name +
                              "\" has an impossible shape");
}

void CheckBytes(const std::vector<Tensor>& tensors) {
  for (const Tensor& tensor : tensors)
    if (Size(tensor) != tensor.bytes.size())
      throw std::invalid_argument("safetensors: the bytes of tensor \"" +
                                  tensor.name +
                                  "\" do not fit its shape and type");
}

// The format allows no holes, so alignment comes from the order: the widest
// types first keep every element aligned to its own size.
std::vector<const Tensor*> Arrange(const std::vector<Tensor>& tensors) {
  std::set<std::string> names;
  std::vector<const Tensor*> order;
  for (const Tensor& tensor : tensors) {
    if (tensor.name == format::kMetadataKey ||
        !names.insert(tensor.name).second)
      throw std::invalid_argument("safetensors: the tensor name \"" +
                                  tensor.name + "\" is reserved or used twice");
    order.push_back(&tensor);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const Tensor* a, const Tensor* b) {
                     return format::Describe(a->dtype).size >
                            format::Describe(b->dtype).size;
                   });
  return order;
}

std::string HeaderJson(const std::vector<const Tensor*>& tensors,
                       const Metadata& metadata) {
  nlohmann::ordered_json header;
  for (const auto& [key, value] : metadata)
    header[format::kMetadataKey][key] = value;
  header[format::kMetadataKey][format::kFormatKey] = "1";
  header[format::kMetadataKey][format::kChecksumKey] =
      std::string(kDigestDigits, '0');
  std::uint64_t begin = 0;
  for (const Tensor* tensor : tensors) {
    const std::uint64_t end = begin + Size(*tensor);
    header[tensor->name] = {{"dtype", format::Describe(tensor->dtype).word},
                            {"shape", tensor->shape},
                            {"data_offsets", {begin, end}}};
    begin = end;
  }
  try {
    return header.dump();
  } catch (const nlohmann::json::exception& error) {
    throw std::invalid_argument(
        std::string("safetensors: names and metadata must be UTF-8: ") +
        error.what());
  }
}

Layout Arrange(const std::vector<Tensor>& tensors, const Metadata& metadata) {
  Layout layout;
  layout.tensors = Arrange(tensors);
  std::string text = HeaderJson(layout.tensors, metadata);
  const std::size_t used = format::kLengthBytes + text.size();
  text.append((kAlignment - used % kAlignment) % kAlignment, ' ');
  if (text.size() > format::kMaxHeader)
    throw std::invalid_argument("safetensors: the header is too long");
  for (std::size_t i = 0; i < format::kLengthBytes; ++i)
    layout.header +=
        static_cast<char>(static_cast<std::uint64_t>(text.size()) >> (8 * i));
  layout.header += text;
  layout.checksum = layout.header.find(format::kChecksumText) +
                    std::strlen(format::kChecksumText);
  return layout;
}

Layout ArrangeWhole(const std::vector<Tensor>& tensors,
                    const Metadata& metadata) {
  CheckBytes(tensors);
  Layout layout = Arrange(tensors, metadata);
  Digest digest;
  digest.Add(std::as_bytes(std::span(layout.header)));
  for (const Tensor* tensor : layout.tensors) digest.Add(tensor->bytes);
  layout.header.replace(layout.checksum, kDigestDigits, digest.Hex());
  return layout;
}

// A new file beside its destination, gone again unless it was committed.
class Replacement {
 public:
  explicit Replacement(const std::filesystem::path& path)
      : path_(path), temporary_(path) {
    static std::atomic<unsigned> count{0};  // Two threads, one destination.
    temporary_ +=
        "." + std::to_string(getpid()) + "-" + std::to_string(count++) + ".tmp";
    file_ =
        open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file_ < 0) Fail("cannot create a file here");
  }
  ~Replacement() {
    if (file_ >= 0) close(file_);
    if (!temporary_.empty()) unlink(temporary_.c_str());
  }
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  void Write(std::uint64_t at, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      // Linux moves at most 2 GiB a call anyway.
      const ssize_t wrote = pwrite(file_, bytes.data(),
                                   std::min(bytes.size(), std::size_t{1} << 30),
                                   static_cast<off_t>(at));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) Fail("cannot write");
      bytes = bytes.subspan(static_cast<std::size_t>(wrote));
      at += static_cast<std::uint64_t>(wrote);
    }
  }

  // Adds all that is at or behind `at`.
  void AddTo(Digest& digest, std::uint64_t at) {
    constexpr std::size_t kBlock = std::size_t{256} << 10;
    std::vector<std::byte> block(kBlock);
    while (true) {
      const ssize_t count =
          pread(file_, block.data(), block.size(), static_cast<off_t>(at));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) Fail("cannot read back");
      if (count == 0) return;
      const auto size = static_cast<std::size_t>(count);
      digest.Add(std::span(block).first(size));
      at += size;
    }
  }

  void Commit() {
    if (fdatasync(file_) != 0) Fail("cannot sync");
    if (close(std::exchange(file_, -1)) != 0) Fail("cannot close");
    if (rename(temporary_.c_str(), path_.c_str()) != 0) Fail("cannot replace");
    temporary_.clear();
    SyncFolder();
  }

 private:
  void SyncFolder() {
    std::filesystem::path folder = path_.parent_path();
    if (folder.empty()) folder = ".";
    const int handle = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (handle < 0) Fail("cannot open its folder to sync it");
    const int failed = fsync(handle);
    const int error = errno;
    close(handle);
    errno = error;
    // Some file systems have nothing to sync for a folder and say EINVAL.
    if (failed != 0 && error != EINVAL) Fail("cannot sync its folder");
  }

  [[noreturn]] void Fail(const std::string& what) const {
    throw FileError(path_.string() + ": " + what + ": " + std::strerror(errno));
  }

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int file_ = -1;
};

}  // namespace

void WriteSafetensors(const std::filesystem::path& path,
                      const std::vector<Tensor>& tensors,
                      const Metadata& metadata) {
  const Layout layout = ArrangeWhole(tensors, metadata);
  Replacement file(path);
  std::uint64_t at = 0;
  const auto append = [&](std::span<const std::byte> bytes) {
    file.Write(at, bytes);
    at += bytes.size();
  };
  append(std::as_bytes(std::span(layout.header)));
  for (const Tensor* tensor : layout.tensors) append(tensor->bytes);
  file.Commit();
}

class SafetensorsWriter::Implementation {
 public:
  Implementation(const std::filesystem::path& path,
                 const std::vector<Tensor>& tensors, const Metadata& metadata)
      : layout_(Arrange(tensors, metadata)),
        file_(path),
        extents_(tensors.size()) {
    std::uint64_t at = layout_.header.size();
    for (const Tensor* tensor : layout_.tensors) {
      Extent& extent = extents_[static_cast<std::size_t>(tensor - &tensors[0])];
      extent.at = at;
      at += Size(*tensor);
      extent.end = at;
    }
    layout_.tensors.clear();  // They are the caller's.
    Write(0, std::as_bytes(std::span(layout_.header)));
  }

  void Append(std::size_t tensor, std::span<const std::byte> bytes) {
    Extent& extent = extents_.at(tensor);
    if (bytes.size() > extent.end - extent.at)
      throw std::invalid_argument(
          "safetensors: more bytes than the tensor's shape holds");
    Write(extent.at, bytes);
    extent.at += bytes.size();
  }

  void Complete() {
    if (complete_) return;
    for (const Extent& extent : extents_)
      if (extent.at != extent.end)
        throw std::invalid_argument("safetensors: a tensor is not complete");
    file_.AddTo(digest_, digested_);
    const std::string digits = digest_.Hex();
    file_.Write(layout_.checksum, std::as_bytes(std::span(digits)));
    complete_ = true;
  }

  void Commit() {
    Complete();
    file_.Commit();
  }

 private:
  struct Extent {
    std::uint64_t at = 0;
    std::uint64_t end = 0;
  };

  void Write(std::uint64_t at, std::span<const std::byte> bytes) {
    file_.Write(at, bytes);
    if (at != digested_) return;
    digest_.Add(bytes);
    digested_ += bytes.size();
  }

  Layout layout_;
  Replacement file_;
  std::vector<Extent> extents_;
  // Of the file up to there: what comes in its order is not read again.
  Digest digest_;
  std::uint64_t digested_ = 0;
  bool complete_ = false;
};

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     const std::vector<Tensor>& tensors,
                                     const Metadata& metadata)
    : implementation_(
          std::make_unique<Implementation>(path, tensors, metadata)) {}
SafetensorsWriter::~SafetensorsWriter() = default;
SafetensorsWriter::SafetensorsWriter(SafetensorsWriter&&) noexcept = default;

void SafetensorsWriter::Append(std::size_t tensor,
                               std::span<const std::byte> bytes) {
  implementation_->Append(tensor, bytes);
}

void SafetensorsWriter::Complete() { implementation_->Complete(); }

void SafetensorsWriter::Commit() { implementation_->Commit(); }

std::string EncodeSafetensors(const std::vector<Tensor>& tensors,
                              const Metadata& metadata) {
  const Layout layout = ArrangeWhole(tensors, metadata);
  std::string bytes = layout.header;
  for (const Tensor* tensor : layout.tensors)
    bytes.append(reinterpret_cast<const char*>(tensor->bytes.data()),
                 tensor->bytes.size());
  return bytes;
}

}  // namespace hearsay::model
