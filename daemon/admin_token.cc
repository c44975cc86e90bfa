#include "daemon/admin_token.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "daemon/config.h"
#include "dp/random.h"

namespace hearsay::daemon {
namespace {

constexpr std::size_t kFewestCharacters = 16;
constexpr std::size_t kMostCharacters = 512;

[[noreturn]] void Fail(const std::filesystem::path& file,
                       const std::string& what) {
  throw ConfigError(
      fmt::format("admin.token_file: {}: {}", file.string(), what));
}

// Closes what open(2) gave.
struct Descriptor {
  explicit Descriptor(int opened) : fd(opened) {}
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  const int fd;
};

std::string NewToken() {
  std::array<std::byte, 32> bits;
  dp::SecureRandom().Fill(bits);
  std::string token;
  for (const std::byte b : bits)
    token += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  return token;
}

// Whole or not at all: written beside, then linked, which fails if another
// process was faster.
void Make(const std::filesystem::path& file) {
  const std::string aside = fmt::format("{}.{}.new", file.string(), getpid());
  const std::string line = NewToken() + "\n";
  {
    const Descriptor made(
        open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (made.fd < 0)
      Fail(file, fmt::format("cannot make it: {}", strerror(errno)));
    if (write(made.fd, line.data(), line.size()) !=
        static_cast<ssize_t>(line.size())) {
      const int why = errno;
      unlink(aside.c_str());
      Fail(file, fmt::format("cannot write it: {}", strerror(why)));
    }
  }
  const bool linked = link(aside.c_str(), file.c_str()) == 0;
  const int why = errno;
  unlink(aside.c_str());
  if (!linked && why != EEXIST)
    Fail(file, fmt::format("cannot make it: {}", strerror(why)));
}

std::string Read(const std::filesystem::path& file, int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) Fail(file, strerror(errno));
  if (!S_ISREG(status.st_mode)) Fail(file, "is not a file");
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    Fail(file, fmt::format("others may use it (mode {:o}); chmod 600 it, and "
                           "change the token if anybody may have read it",
                           status.st_mode & 0777));
  std::array<char, kMostCharacters + 2> bytes{};
  const ssize_t got = read(fd, bytes.data(), bytes.size());
  if (got < 0) Fail(file, strerror(errno));
  std::string token(bytes.data(), static_cast<std::size_t>(got));
  if (token.ends_with('\n')) token.pop_back();
  const bool plain =
      std::all_of(token.begin(), token.end(),
                  [](unsigned char c) { return c > ' ' && c < 127; });
  if (!plain || token.size() < kFewestCharacters ||
      token.size() > kMostCharacters)
    Fail(file, fmt::format("must be one line of {} to {} printable ASCII "
                           "characters without spaces; remove it to have one "
                           "made",
                           kFewestCharacters, kMostCharacters));
  return token;
}

}  // namespace

std::string ReadOrMakeAdminToken(const std::filesystem::path& file) {
  if (!std::filesystem::exists(std::filesystem::symlink_status(file)))
    Make(file);
  const Descriptor opened(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (opened.fd < 0)
    Fail(file, fmt::format("cannot read it: {}", strerror(errno)));
  return Read(file, opened.fd);
}

}  // namespace hearsay::daemon
