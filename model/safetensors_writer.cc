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
  std::string header;                  // Length, JSON and padding.
  std::vector<const Tensor*> tensors;  // In the order of the file.
};

void Check(const Tensor& tensor, std::set<std::string>& names) {
  if (tensor.name == format::kMetadataKey || !names.insert(tensor.name).second)
    throw std::invalid_argument("safetensors: the tensor name \"" +
                                tensor.name + "\" is reserved or used twice");
  if (format::SizeInBytes(tensor.dtype, tensor.shape) != tensor.bytes.size())
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
    Check(tensor, names);
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
    const std::uint64_t end = begin + tensor->bytes.size();
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

  Digest digest;
  digest.Add(std::as_bytes(std::span(layout.header)));
  for (const Tensor* tensor : layout.tensors) digest.Add(tensor->bytes);
  const std::size_t at = layout.header.find(format::kChecksumText) +
                         std::strlen(format::kChecksumText);
  layout.header.replace(at, kDigestDigits, digest.Hex());
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
        open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file_ < 0) Fail("cannot create a file here");
  }
  ~Replacement() {
    if (file_ >= 0) close(file_);
    if (!temporary_.empty()) unlink(temporary_.c_str());
  }
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  void Write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      // Linux moves at most 2 GiB a call anyway.
      const ssize_t wrote = write(file_, bytes.data(),
                                  std::min(bytes.size(), std::size_t{1} << 30));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) Fail("cannot write");
      bytes = bytes.subspan(static_cast<std::size_t>(wrote));
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
  const Layout layout = Arrange(tensors, metadata);
  Replacement file(path);
  file.Write(std::as_bytes(std::span(layout.header)));
  for (const Tensor* tensor : layout.tensors) file.Write(tensor->bytes);
  file.Commit();
}

std::string EncodeSafetensors(const std::vector<Tensor>& tensors,
                              const Metadata& metadata) {
  const Layout layout = Arrange(tensors, metadata);
  std::string bytes = layout.header;
  for (const Tensor* tensor : layout.tensors)
    bytes.append(reinterpret_cast<const char*>(tensor->bytes.data()),
                 tensor->bytes.size());
  return bytes;
}

}  // namespace hearsay::model
