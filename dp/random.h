// The only source of privacy randomness: an AES-256-CTR key stream (OpenSSL)
// under a key from getrandom(2).
//
// The key is fresh at every start, locked in memory, never written anywhere and
// cannot be set: a restarted node draws new noise, so a replayed step is a new
// release and never the difference of two (privacy.md 4). After fork the child
// takes a new key. There is no seeded constructor, on purpose; tests that need
// repeatable numbers use another type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace hearsay::dp {

// Threads: one thread at a time. Noise and sampling use an object each, so that
// neither can be computed from the other.
class SecureRandom {
 public:
  // Throws: std::system_error (no kernel entropy, no memory),
  // std::runtime_error (OpenSSL).
  SecureRandom();
  ~SecureRandom();
  SecureRandom(SecureRandom&&) noexcept;
  SecureRandom& operator=(SecureRandom&&) noexcept;

  // Throws: as the constructor, in the first call after a fork;
  // std::runtime_error (OpenSSL).
  void Fill(std::span<std::byte> bytes);
  void Fill(std::span<std::uint64_t> words);
  // New key = hash of the old one, which is erased, and of fresh kernel bytes.
  // Noise drawn so far can not be computed from a memory image taken later, and
  // a virtual machine rolled back to a snapshot does not repeat its noise.
  // Called once a step. Throws: as the constructor.
  void Ratchet();

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

}  // namespace hearsay::dp
