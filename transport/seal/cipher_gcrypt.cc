// That of libgcrypt, with AES instructions of two blocks.
#include <gcrypt.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include "transport/seal/cipher.h"

namespace hearsay::transport::seal {
namespace {

// The features of this processor that it has code for.
bool HasWideAes() {
  const std::unique_ptr<char, void (*)(void*)> features(
      gcry_get_config(0, "hwflist"), &gcry_free);
  return features && std::strstr(features.get(), ":intel-vaes-vpclmul:");
}

// Once in the process. False if the library is no choice: its FIPS mode does
// not let nonces be given, and without those instructions it is no faster.
bool IsChoice() {
  static const bool choice = [] {
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P) == 0) {
      if (gcry_check_version(GCRYPT_VERSION) == nullptr) return false;
      gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
      gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    }
    return gcry_fips_mode_active() == 0 && HasWideAes();
  }();
  return choice;
}

void Must(gcry_error_t error) {
  if (error != 0)
    throw std::runtime_error(std::string("libgcrypt: AES-256-GCM failed: ") +
                             gcry_strerror(error));
}

class GcryptCipher final : public Cipher {
 public:
  explicit GcryptCipher(KeyBytes key) {
    gcry_cipher_hd_t handle = nullptr;
    Must(
        gcry_cipher_open(&handle, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0));
    handle_.reset(handle);
    Must(gcry_cipher_setkey(handle, key.data(), key.size()));
  }

  Aead::Tag Seal(const Nonce& nonce, std::span<const std::byte> also,
                 std::span<const std::byte> in,
                 std::span<std::byte> out) override {
    Aead::Tag tag;
    Begin(nonce, also);
    if (!in.empty())
      Must(gcry_cipher_encrypt(handle_.get(), out.data(), out.size(), in.data(),
                               in.size()));
    Must(gcry_cipher_gettag(handle_.get(), tag.data(), tag.size()));
    return tag;
  }

  bool Open(const Nonce& nonce, std::span<const std::byte> also,
            std::span<std::byte> bytes, const Aead::Tag& tag) override {
    Begin(nonce, also);
    if (!bytes.empty())
      Must(gcry_cipher_decrypt(handle_.get(), bytes.data(), bytes.size(),
                               nullptr, 0));
    return gcry_cipher_checktag(handle_.get(), tag.data(), tag.size()) == 0;
  }

 private:
  void Begin(const Nonce& nonce, std::span<const std::byte> also) {
    Must(gcry_cipher_setiv(handle_.get(), nonce.data(), nonce.size()));
    if (!also.empty())
      Must(gcry_cipher_authenticate(handle_.get(), also.data(), also.size()));
  }

  // It wipes the key.
  std::unique_ptr<gcry_cipher_handle, decltype(&gcry_cipher_close)> handle_{
      nullptr, &gcry_cipher_close};
};

}  // namespace

std::unique_ptr<Cipher> MakeGcryptCipher(KeyBytes key) {
  if (!IsChoice()) return nullptr;
  return std::make_unique<GcryptCipher>(key);
}

}  // namespace hearsay::transport::seal
