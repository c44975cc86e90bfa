// AES-256-GCM under one key, by OpenSSL: the key's schedule is made once, and a
// piece costs no allocation. The key is wiped with the object.
//
// Threads: one at a time. Throws: std::runtime_error if OpenSSL cannot.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>

namespace hearsay::transport::seal {

using Nonce = std::array<std::byte, 12>;

class Aead {
 public:
  static constexpr std::size_t kKeyBytes = 32;
  static constexpr std::size_t kTagBytes = 16;
  using Tag = std::array<std::byte, kTagBytes>;

  explicit Aead(std::span<const std::byte, kKeyBytes> key);

  // `out` has the size of `in`, and may be it. Requires: `nonce` was never
  // given before, not even by another process with this key.
  Tag Seal(const Nonce& nonce, std::span<const std::byte> also,
           std::span<const std::byte> in, std::span<std::byte> out);
  // In place. False if anything of it was altered: `bytes` are noise then.
  [[nodiscard]] bool Open(const Nonce& nonce, std::span<const std::byte> also,
                          std::span<std::byte> bytes, const Tag& tag);

 private:
  enum class Way : int { kOpen = 0, kSeal = 1 };

  void Begin(Way way, const Nonce& nonce, std::span<const std::byte> also);
  void Update(std::span<const std::byte> in, std::byte* out);

  std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context_;
};

}  // namespace hearsay::transport::seal
