#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <span>
#include <utility>

#include "model/prep/csv.h"

namespace hearsay::model::prep {

namespace {

constexpr std::size_t kInputBlock = std::size_t{256} << 10;

bool IsGzip(std::span<const char> bytes) {
  return bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
}

}  // namespace

// read() rather than a mapping: as fast for one pass, it takes pipes too, and a
// file cut short by somebody else meanwhile is an error, not a SIGBUS.
class ByteSource::Implementation {
 public:
  explicit Implementation(std::filesystem::path path)
      : path_(std::move(path)), input_(kInputBlock) {
    file_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (file_ < 0) Fail(std::string("cannot open: ") + std::strerror(errno));
    try {
      struct stat status {};
      if (fstat(file_, &status) == 0 && S_ISREG(status.st_mode))
        size_ = static_cast<std::uint64_t>(status.st_size);
      // A pipe may hand over a byte at a time; two decide.
      while (available_.size() < 2 && ReadMore()) {
      }
      gzip_ = IsGzip(available_);
      if (gzip_) StartInflate();
      if (!gzip_ && path_.extension() == ".gz" && !available_.empty())
        Fail("is not gzip data, although its name says so");
    } catch (...) {
      close(file_);
      throw;
    }
  }

  ~Implementation() {
    if (gzip_) inflateEnd(&stream_);
    close(file_);
  }
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

  std::size_t Read(char* out, std::size_t capacity) {
    if (gzip_) return Inflate(out, capacity);
    if (available_.empty() && !ReadMore()) return 0;
    const std::size_t count = std::min(capacity, available_.size());
    std::memcpy(out, available_.data(), count);
    available_ = available_.subspan(count);
    return count;
  }

  std::uint64_t consumed() const { return consumed_; }
  std::uint64_t size() const { return size_; }

 private:
  // Appends to available_ (which never holds more than a few bytes here).
  bool ReadMore() {
    std::copy(available_.begin(), available_.end(), input_.begin());
    const std::size_t kept = available_.size();
    ssize_t count = 0;
    do {
      count = read(file_, input_.data() + kept, input_.size() - kept);
    } while (count < 0 && errno == EINTR);
    if (count < 0) Fail(std::string("cannot read: ") + std::strerror(errno));
    consumed_ += static_cast<std::uint64_t>(count);
    available_ = {input_.data(), kept + static_cast<std::size_t>(count)};
    return count > 0;
  }

  void StartInflate() {
    // 16: expect a gzip header, no other.
    if (inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK) throw std::bad_alloc();
  }

  std::size_t Inflate(char* out, std::size_t capacity) {
    // zlib counts in 32 bits.
    const auto wanted = static_cast<uInt>(
        std::min<std::size_t>(capacity, std::size_t{1} << 30));
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = wanted;
    while (stream_.avail_out == wanted) {
      if (available_.empty() && !ReadMore()) {
        if (inside_member_) Fail("truncated: the gzip data end too early");
        return 0;
      }
      if (!inside_member_) {
        inflateReset(&stream_);
        inside_member_ = true;
      }
      stream_.next_in = reinterpret_cast<Bytef*>(available_.data());
      stream_.avail_in = static_cast<uInt>(available_.size());
      const int status = inflate(&stream_, Z_NO_FLUSH);
      available_ = available_.last(stream_.avail_in);
      if (status == Z_STREAM_END) {
        inside_member_ = false;  // Another member may follow.
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        Fail(std::string("damaged gzip data: ") +
             (stream_.msg != nullptr ? stream_.msg : "bad stream"));
      }
    }
    return wanted - stream_.avail_out;
  }

  [[noreturn]] void Fail(const std::string& what) const {
    throw FileError(path_.string() + ": " + what);
  }

  std::filesystem::path path_;
  int file_ = -1;
  std::uint64_t size_ = 0;
  std::uint64_t consumed_ = 0;
  std::vector<char> input_;
  std::span<char> available_;  // Of input_: read, not yet handed over.
  bool gzip_ = false;
  bool inside_member_ = false;
  z_stream stream_{};
};

ByteSource::ByteSource(const std::filesystem::path& path)
    : implementation_(std::make_unique<Implementation>(path)) {}
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
