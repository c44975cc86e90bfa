#include "model/prep/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

namespace hearsay::model::prep {

namespace {

constexpr std::size_t kInputBlock = std::size_t{256} << 10;
// Long enough to tell every kind of file from the others.
constexpr std::size_t kMagic = 4;

enum class Packing { kNone, kGzip, kZstd };

Packing Recognise(std::string_view start) {
  if (start.starts_with("\x1f\x8b")) return Packing::kGzip;
  if (start.starts_with("\x28\xb5\x2f\xfd")) return Packing::kZstd;
  return Packing::kNone;
}

}  // namespace

// read() rather than a mapping: it takes pipes too, and a file that somebody
// else cuts short meanwhile is an error, not a SIGBUS; and as blocks are read
// into room that is still in the cache, it is no slower.
class ByteSource::Implementation {
 public:
  explicit Implementation(std::filesystem::path path) : path_(std::move(path)) {
    file_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (file_ < 0) Fail(std::string("cannot open: ") + std::strerror(errno));
    struct stat status {};
    if (fstat(file_, &status) == 0 && S_ISREG(status.st_mode))
      size_ = static_cast<std::uint64_t>(status.st_size);
    input_.resize(kInputBlock);
    Begin();
  }
  Implementation(std::string bytes, std::filesystem::path name)
      : path_(std::move(name)), input_(std::move(bytes)) {
    available_ = input_;
    size_ = consumed_ = input_.size();
    Begin();
  }
  ~Implementation() { Close(); }
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

  std::size_t Read(char* out, std::size_t capacity) {
    if (capacity == 0) return 0;  // zlib would never get on.
    switch (packing_) {
      case Packing::kGzip:
        return Inflate(out, capacity);
      case Packing::kZstd:
        return Unpack(out, capacity);
      case Packing::kNone:
        break;
    }
    if (available_.empty()) return ReadFile(out, capacity);
    const std::size_t count = std::min(capacity, available_.size());
    std::memcpy(out, available_.data(), count);
    available_.remove_prefix(count);
    return count;
  }

  std::uint64_t consumed() const { return consumed_; }
  std::uint64_t size() const { return size_; }

 private:
  void Begin() {
    try {
      // A pipe may hand over a byte at a time.
      while (available_.size() < kMagic && ReadMore()) {
      }
      packing_ = Recognise(available_);
      const auto promises = [this](const char* extension, Packing packing) {
        return path_.extension() == extension && packing_ != packing &&
               !available_.empty();
      };
      if (promises(".gz", Packing::kGzip))
        Fail("is not gzip data, although its name says so");
      if (promises(".zst", Packing::kZstd))
        Fail("is not zstd data, although its name says so");
      // 16: expect a gzip header, no other.
      if (packing_ == Packing::kGzip &&
          inflateInit2(&inflater_, 16 + MAX_WBITS) != Z_OK)
        throw std::bad_alloc();
      if (packing_ == Packing::kZstd &&
          (unpacker_ = ZSTD_createDStream()) == nullptr)
        throw std::bad_alloc();
    } catch (...) {
      Close();
      throw;
    }
  }

  void Close() {
    inflateEnd(&inflater_);  // Of one that was never begun: nothing.
    ZSTD_freeDStream(unpacker_);
    if (file_ >= 0) close(file_);
  }

  std::size_t ReadFile(char* out, std::size_t capacity) {
    if (file_ < 0) return 0;
    ssize_t count = 0;
    do {
      count = read(file_, out, capacity);
    } while (count < 0 && errno == EINTR);
    if (count < 0) Fail(std::string("cannot read: ") + std::strerror(errno));
    consumed_ += static_cast<std::uint64_t>(count);
    return static_cast<std::size_t>(count);
  }

  // Appends to available_ (which never holds more than a few bytes here).
  bool ReadMore() {
    if (file_ < 0) return false;
    std::copy(available_.begin(), available_.end(), input_.begin());
    const std::size_t kept = available_.size();
    const std::size_t count =
        ReadFile(input_.data() + kept, input_.size() - kept);
    available_ = {input_.data(), kept + count};
    return count > 0;
  }

  std::size_t Inflate(char* out, std::size_t capacity) {
    // zlib counts in 32 bits.
    const auto wanted = static_cast<uInt>(
        std::min<std::size_t>(capacity, std::size_t{1} << 30));
    inflater_.next_out = reinterpret_cast<Bytef*>(out);
    inflater_.avail_out = wanted;
    while (inflater_.avail_out == wanted) {
      if (available_.empty() && !ReadMore()) {
        if (inside_) Fail("truncated: the gzip data end too early");
        return 0;
      }
      if (!inside_) {
        inflateReset(&inflater_);
        inside_ = true;
      }
      inflater_.next_in = reinterpret_cast<Bytef*>(
          const_cast<char*>(available_.data()));  // NOLINT: zlib only reads it.
      inflater_.avail_in = static_cast<uInt>(available_.size());
      const int status = inflate(&inflater_, Z_NO_FLUSH);
      available_.remove_prefix(available_.size() - inflater_.avail_in);
      if (status == Z_STREAM_END) {
        inside_ = false;  // Another member may follow.
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        Fail(std::string("damaged gzip data: ") +
             (inflater_.msg != nullptr ? inflater_.msg : "bad stream"));
      }
    }
    return wanted - inflater_.avail_out;
  }

  std::size_t Unpack(char* out, std::size_t capacity) {
    ZSTD_outBuffer to{out, capacity, 0};
    while (to.pos == 0) {
      // What is left inside the library comes out without more input.
      if (available_.empty() && !ReadMore() && !inside_) return 0;
      ZSTD_inBuffer from{available_.data(), available_.size(), 0};
      const std::size_t status = ZSTD_decompressStream(unpacker_, &to, &from);
      if (ZSTD_isError(status) != 0)
        Fail(std::string("damaged zstd data: ") + ZSTD_getErrorName(status));
      if (from.size == 0 && to.pos == 0)
        Fail("truncated: the zstd data end too early");
      available_.remove_prefix(from.pos);
      inside_ = status != 0;  // Another frame may follow.
    }
    return to.pos;
  }

  [[noreturn]] void Fail(const std::string& what) const {
    throw FileError(path_.string() + ": " + what);
  }

  std::filesystem::path path_;
  int file_ = -1;
  std::uint64_t size_ = 0;
  std::uint64_t consumed_ = 0;
  std::string input_;
  std::string_view available_;  // Of input_: read, not yet handed over.
  Packing packing_ = Packing::kNone;
  bool inside_ = false;  // A gzip member or a zstd frame.
  z_stream inflater_{};
  ZSTD_DStream* unpacker_ = nullptr;
};

ByteSource::ByteSource(const std::filesystem::path& path)
    : implementation_(std::make_unique<Implementation>(path)) {}
ByteSource::ByteSource(std::string bytes, const std::filesystem::path& name)
    : implementation_(
          std::make_unique<Implementation>(std::move(bytes), name)) {}
ByteSource::~ByteSource() = default;
ByteSource::ByteSource(ByteSource&&) noexcept = default;
ByteSource& ByteSource::operator=(ByteSource&&) noexcept = default;

std::size_t ByteSource::Read(char* out, std::size_t capacity) {
  return implementation_->Read(out, capacity);
}
std::uint64_t ByteSource::consumed() const {
  return implementation_->consumed();
}
std::uint64_t ByteSource::size() const { return implementation_->size(); }

}  // namespace hearsay::model::prep
