#include "transport/seal/aead.h"

#include "transport/seal/cipher.h"

namespace hearsay::transport::seal {

Aead::Aead(std::span<const std::byte, kKeyBytes> key)
    : cipher_(MakeWideCipher(key)) {
  if (!cipher_) cipher_ = MakeGcryptCipher(key);
  if (!cipher_) cipher_ = MakeOpenSslCipher(key);
}

Aead::~Aead() = default;

Aead::Tag Aead::Seal(const Nonce& nonce, std::span<const std::byte> also,
                     std::span<const std::byte> in, std::span<std::byte> out) {
  return cipher_->Seal(nonce, also, in, out);
}

bool Aead::Open(const Nonce& nonce, std::span<const std::byte> also,
                std::span<std::byte> bytes, const Tag& tag) {
  return cipher_->Open(nonce, also, bytes, tag);
}

}  // namespace hearsay::transport::seal
