// AES-256 in counter mode under a key that the caller keeps, and the one-way
// step from that key to the next. Inside dp/ only.
//
// It stands apart from SecureRandom so that it can be held against published
// vectors: SecureRandom has no key that a test could set. Noise and sampling
// accept a SecureRandom and nothing else.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>

namespace hearsay::dp {

inline constexpr std::size_t kKeyBytes = 32;
using Key = std::array<std::byte, kKeyBytes>;

// Threads: one at a time. OpenSSL's own copy of the expanded key lives in this
// object's context; Restart overwrites it and the destructor cleanses it.
class KeyStream {
 public:
  // Throws: std::runtime_error (OpenSSL).
  KeyStream();

  // Begins the stream of `key` at counter 0.
  void Restart(const Key& key);
  // The next bytes of the stream.
  void Fill(std::span<std::byte> bytes);

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const {
      EVP_CIPHER_CTX_free(context);
    }
  };
  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
};

// key <- HKDF-SHA-256(input key `key`, salt `salt`), in place.
// Source: RFC 5869. Throws: std::runtime_error (OpenSSL).
void DeriveNextKey(std::span<const std::byte> salt, Key& key);

}  // namespace hearsay::dp
