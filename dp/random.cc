#include "dp/random.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <new>
#include <system_error>
#include <type_traits>

#include "dp/key_stream.h"

namespace hearsay::dp {
namespace {

// What one page holds. All zero in a child after fork (MADV_WIPEONFORK), so
// `alive` tells a page with a key from a wiped one.
struct Secret {
  Key key;
  std::uint64_t alive;
};
static_assert(std::is_trivially_copyable_v<Secret>);

void FromKernel(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      throw std::system_error(got < 0 ? errno : EIO, std::generic_category(),
                              "getrandom: no entropy from the kernel");
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

// A page of its own, kept from swap, core dumps and forked children as far as
// the system allows: an unprivileged process may lock only so much, and a node
// that trains without the lock is better than one that does not start.
class SecretPage {
 public:
  SecretPage() : bytes_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    page_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page_ == MAP_FAILED)
      throw std::system_error(errno, std::generic_category(),
                              "mmap: no page for the noise key");
    (void)mlock(page_, bytes_);
    (void)madvise(page_, bytes_, MADV_DONTDUMP);
    (void)madvise(page_, bytes_, MADV_WIPEONFORK);
  }
  ~SecretPage() {
    OPENSSL_cleanse(page_, bytes_);
    munmap(page_, bytes_);
  }
  SecretPage(const SecretPage&) = delete;
  SecretPage& operator=(const SecretPage&) = delete;

  Secret& secret() { return *static_cast<Secret*>(page_); }

 private:
  std::size_t bytes_;
  void* page_ = nullptr;
};

}  // namespace

struct SecureRandom::Stream {
  Stream() { TakeNewKey(); }

  void TakeNewKey() {
    Secret& secret = page.secret();
    secret.alive = 0;  // Until the key is whole.
    FromKernel(secret.key);
    key_stream.Restart(secret.key);
    owner = getpid();
    secret.alive = 1;
  }

  // The page says so where the kernel can wipe it; the process id says so
  // elsewhere. A child that went on with the parent's stream would release the
  // same noise on another gradient.
  void EnsureOwnKey() {
    if (page.secret().alive == 0 || owner != getpid()) TakeNewKey();
  }

  void Ratchet() {
    EnsureOwnKey();
    Key fresh;
    FromKernel(fresh);
    Secret& secret = page.secret();
    DeriveNextKey(fresh, secret.key);
    OPENSSL_cleanse(fresh.data(), fresh.size());
    key_stream.Restart(secret.key);
  }

  SecretPage page;
  KeyStream key_stream;
  pid_t owner = 0;
};

SecureRandom::SecureRandom() : stream_(std::make_unique<Stream>()) {}
SecureRandom::~SecureRandom() = default;
SecureRandom::SecureRandom(SecureRandom&&) noexcept = default;
SecureRandom& SecureRandom::operator=(SecureRandom&&) noexcept = default;

void SecureRandom::Fill(std::span<std::byte> bytes) {
  stream_->EnsureOwnKey();
  stream_->key_stream.Fill(bytes);
}

void SecureRandom::Fill(std::span<std::uint64_t> words) {
  Fill(std::as_writable_bytes(words));
}

void SecureRandom::Ratchet() { stream_->Ratchet(); }

}  // namespace hearsay::dp
