// AES-256-GCM under one key. The key's schedule is made once, and a piece costs
// no allocation. The key is wiped with the object.
//
// Three libraries can do it (ops/decisions/0015): OpenSSL 3.0 uses AES
// instructions of one block, libgcrypt those of two and Intel's multi-buffer
// library those of four. The widest that the processor has is taken.
//
// Threads: one at a time. Throws: std::runtime_error if that library cannot.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

namespace hearsay::transport::seal {

using Nonce = std::array<std::byte, 12>;

class Cipher;  // cipher.h

class Aead {
 public:
  static constexpr std::size_t kKeyBytes = 32;
  static constexpr std::size_t kTagBytes = 16;
  using Tag = std::array<std::byte, kTagBytes>;

  explicit Aead(std::span<const std::byte, kKeyBytes> key);
  ~Aead();

  // `out` has the size of `in`, and may be it. Requires: `nonce` was never
  // given before, not even by another process with this key.
  Tag Seal(const Nonce& nonce, std::span<const std::byte> also,
           std::span<const std::byte> in, std::span<std::byte> out);
  // In place. False if anything of it was altered: `bytes` are noise then.
  [[nodiscard]] bool Open(const Nonce& nonce, std::span<const std::byte> also,
                          std::span<std::byte> bytes, const Tag& tag);

 private:
  std::unique_ptr<Cipher> cipher_;
};

}  // namespace hearsay::transport::seal
