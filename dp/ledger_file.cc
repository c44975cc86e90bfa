#include "dp/ledger_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <system_error>

#include "dp/ledger.h"

namespace hearsay::dp {
namespace {

// A ledger of this size has millions of records; beyond it something is wrong.
constexpr off_t kMostBytes = off_t{1} << 30;

// Opening meets a file that another process is just replacing only so often.
constexpr int kMostAttempts = 100;

[[noreturn]] void Fail(const std::filesystem::path& path,
                       const std::string& what, int error) {
  throw LedgerError(path.string() + ": " + what + ": " +
                    std::generic_category().message(error));
}

// Reading needs no rights beyond O_RDONLY. O_NONBLOCK, lest a FIFO of that name
// make us wait for ever.
OwnedFile Open(const std::filesystem::path& path, int flags) {
  return OwnedFile(
      open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

struct stat StatOf(const std::filesystem::path& path, int file) {
  struct stat status {};
  if (fstat(file, &status) != 0) Fail(path, "cannot be examined", errno);
  if (!S_ISREG(status.st_mode))
    throw LedgerError(path.string() +
                      ": is not a regular file; name another folder");
  if (status.st_size > kMostBytes)
    throw LedgerError(path.string() +
                      ": is larger than 1 GiB, so it is no ledger of ours");
  return status;
}

// Who holds the lock on this file, as far as /proc says: " by process 123".
std::string LockHolder(const struct stat& status) {
  std::array<char, 64> wanted{};
  std::snprintf(wanted.data(), wanted.size(), "%02x:%02x:%llu",
                major(status.st_dev), minor(status.st_dev),
                static_cast<unsigned long long>(status.st_ino));
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    std::array<char, 64> held{};
    long pid = 0;
    if (std::sscanf(line.c_str(), "%*s FLOCK %*s %*s %ld %63s", &pid,
                    held.data()) == 2 &&
        pid > 0 && std::string_view(held.data()) == wanted.data())
      return " by process " + std::to_string(pid);
  }
  return "";
}

}  // namespace

OwnedFile::~OwnedFile() {
  if (file_ >= 0) close(file_);
}

std::string ReadWholeFile(const std::filesystem::path& path) {
  const OwnedFile file = Open(path, O_RDONLY);
  if (file.get() < 0) Fail(path, "cannot be read", errno);
  const auto size = static_cast<std::size_t>(StatOf(path, file.get()).st_size);
  std::string bytes(size, '\0');
  std::size_t at = 0;
  while (at < size) {
    const ssize_t got = read(file.get(), bytes.data() + at, size - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) Fail(path, "cannot be read", errno);
    if (got == 0) break;
    at += static_cast<std::size_t>(got);
  }
  bytes.resize(at);
  return bytes;
}

LedgerFile::LedgerFile(std::filesystem::path path, std::string_view first,
                       LedgerIo& io)
    : path_(std::move(path)), io_(&io), owner_(getpid()) {
  OpenAndLock(first);
}

void LedgerFile::OpenAndLock(std::string_view first) {
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    file_ = Open(path_, O_RDWR | O_APPEND);
    if (file_.get() < 0 && errno == ENOENT) {
      Create(first);
      continue;
    }
    if (file_.get() < 0)
      Fail(path_, "cannot be opened for writing, so nothing can be charged",
           errno);
    const struct stat opened = StatOf(path_, file_.get());
    if (flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK)
        throw LedgerError(path_.string() + ": is in use" + LockHolder(opened) +
                          "; one process at a time may train on a data set, "
                          "so stop that one first");
      Fail(path_, "cannot be locked", errno);
    }
    // The name may have got another file before the lock was ours.
    struct stat named {};
    if (stat(path_.c_str(), &named) == 0 && named.st_ino == opened.st_ino &&
        named.st_dev == opened.st_dev) {
      size_ = static_cast<std::size_t>(StatOf(path_, file_.get()).st_size);
      return;
    }
  }
  throw LedgerError(path_.string() +
                    ": is replaced again and again by another "
                    "process; find and stop it");
}

void LedgerFile::Create(std::string_view first) {
  const std::filesystem::path folder = path_.parent_path();
  std::error_code error;
  if (std::filesystem::create_directories(folder, error))
    SyncFolder(std::filesystem::absolute(folder).parent_path());
  if (error) Fail(folder, "cannot be created", error.value());
  const std::filesystem::path aside =
      path_.string() + ".new." + std::to_string(getpid());
  { const OwnedFile file = WriteAside(aside, first); }
  // Unlike a rename, a link never takes the place of a ledger that another
  // process has made meanwhile.
  const int linked = io_->Link(aside, path_);
  const int why = errno;
  unlink(aside.c_str());
  if (linked != 0 && why != EEXIST) Fail(path_, "cannot be created", why);
  SyncFolder(folder);
}

OwnedFile LedgerFile::WriteAside(const std::filesystem::path& aside,
                                 std::string_view bytes) {
  unlink(aside.c_str());  // Of a process of the same number that died here.
  OwnedFile file(open(aside.c_str(),
                      O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) Fail(aside, "cannot be created", errno);
  try {
    WriteAll(file.get(), bytes, aside);
    if (io_->Sync(file.get()) != 0) Fail(aside, "cannot be synced", errno);
  } catch (const LedgerError&) {
    unlink(aside.c_str());
    throw;
  }
  return file;
}

void LedgerFile::WriteAll(int file, std::string_view bytes,
                          const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = io_->Write(file, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0)
      Fail(path, "cannot be written, so nothing can be charged",
           written < 0 ? errno : EIO);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void LedgerFile::SyncFolder(const std::filesystem::path& folder) {
  const std::filesystem::path name = folder.empty() ? "." : folder;
  const OwnedFile file(open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.get() < 0 || io_->Sync(file.get()) != 0)
    Fail(name, "the folder cannot be synced", errno);
}

void LedgerFile::CheckUntouched() const {
  if (failed_)
    throw LedgerError(path_.string() +
                      ": an earlier write failed, so nothing more can be "
                      "charged; mend the disk and start again");
  if (getpid() != owner_)
    throw LedgerError(path_.string() +
                      ": was opened by another process, which alone may write");
  const struct stat now = StatOf(path_, file_.get());
  if (now.st_nlink == 0)
    throw LedgerError(path_.string() +
                      ": was deleted or replaced while in use, so what was "
                      "spent is no longer on disk; put it back");
  if (static_cast<std::size_t>(now.st_size) != size_)
    throw LedgerError(path_.string() +
                      ": was changed by another program while in use; nobody "
                      "may train on this data set until it is restored");
}

void LedgerFile::Append(std::string_view line) {
  CheckUntouched();
  failed_ = true;  // Until the line is on disk.
  try {
    WriteAll(file_.get(), line, path_);
  } catch (const LedgerError&) {
    // The line never counted, and nobody was told it did: without its first
    // half a disk that was full for a while leaves nothing to explain. If this
    // fails too, the next to open the ledger charges the tail.
    (void)io_->Truncate(file_.get(), static_cast<off_t>(size_));
    throw;
  }
  if (io_->DataSync(file_.get()) != 0)
    Fail(path_, "cannot be synced, so nothing can be charged", errno);
  size_ += line.size();
  failed_ = false;
}

void LedgerFile::Replace(std::string_view bytes) {
  CheckUntouched();
  failed_ = true;
  const std::filesystem::path aside =
      path_.string() + ".new." + std::to_string(getpid());
  OwnedFile file = WriteAside(aside, bytes);
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0 ||
      io_->Rename(aside, path_) != 0) {
    const int why = errno;
    unlink(aside.c_str());
    Fail(path_, "cannot be replaced", why);
  }
  file_ = std::move(file);
  size_ = bytes.size();
  SyncFolder(path_.parent_path());
  failed_ = false;
}

// --- the system calls themselves

ssize_t LedgerIo::Write(int file, std::span<const char> bytes) {
  return write(file, bytes.data(), bytes.size());
}
int LedgerIo::DataSync(int file) { return fdatasync(file); }
int LedgerIo::Sync(int file) { return fsync(file); }
int LedgerIo::Truncate(int file, off_t size) { return ftruncate(file, size); }
int LedgerIo::Link(const std::filesystem::path& from,
                   const std::filesystem::path& to) {
  return link(from.c_str(), to.c_str());
}
int LedgerIo::Rename(const std::filesystem::path& from,
                     const std::filesystem::path& to) {
  return rename(from.c_str(), to.c_str());
}

LedgerIo& SystemLedgerIo() {
  static LedgerIo io;
  return io;
}

}  // namespace hearsay::dp
