// AES-256-GCM under one key as a library does it: what Aead chooses from.
//
// Threads: one at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "transport/seal/aead.h"

namespace hearsay::transport::seal {

using KeyBytes = std::span<const std::byte, Aead::kKeyBytes>;

class Cipher {
 public:
  virtual ~Cipher() = default;
  virtual Aead::Tag Seal(const Nonce& nonce, std::span<const std::byte> also,
                         std::span<const std::byte> in,
                         std::span<std::byte> out) = 0;
  virtual bool Open(const Nonce& nonce, std::span<const std::byte> also,
                    std::span<std::byte> bytes, const Aead::Tag& tag) = 0;

 protected:
  Cipher() = default;
  Cipher(const Cipher&) = delete;
  Cipher& operator=(const Cipher&) = delete;
};

std::unique_ptr<Cipher> MakeOpenSslCipher(KeyBytes key);
// Nothing if this is built without that library, or the processor has no AES
// instructions of four blocks.
std::unique_ptr<Cipher> MakeWideCipher(KeyBytes key);
// Nothing if the processor has none of two blocks, without which OpenSSL is as
// fast.
std::unique_ptr<Cipher> MakeGcryptCipher(KeyBytes key);

}  // namespace hearsay::transport::seal
