// OpenSSL's.
#include <openssl/evp.h>

#include <new>
#include <stdexcept>

#include "transport/seal/cipher.h"

namespace hearsay::transport::seal {
namespace {

void Must(int result) {
  if (result != 1) throw std::runtime_error("OpenSSL: AES-256-GCM failed");
}

const unsigned char* Raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}
unsigned char* Raw(std::byte* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}

class OpenSslCipher final : public Cipher {
 public:
  explicit OpenSslCipher(KeyBytes key)
      : context_(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free) {
    if (!context_) throw std::bad_alloc();
    Must(EVP_CipherInit_ex(context_.get(), EVP_aes_256_gcm(), nullptr,
                           Raw(key.data()), nullptr,
                           static_cast<int>(Way::kSeal)));
  }

  Aead::Tag Seal(const Nonce& nonce, std::span<const std::byte> also,
                 std::span<const std::byte> in,
                 std::span<std::byte> out) override {
    Aead::Tag tag;
    int written = 0;
    Begin(Way::kSeal, nonce, also);
    Update(in, out.data());
    Must(EVP_CipherFinal_ex(context_.get(), Raw(tag.data()), &written));
    Must(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG,
                             static_cast<int>(tag.size()), tag.data()));
    return tag;
  }

  bool Open(const Nonce& nonce, std::span<const std::byte> also,
            std::span<std::byte> bytes, const Aead::Tag& tag) override {
    Aead::Tag expected = tag;
    int written = 0;
    Begin(Way::kOpen, nonce, also);
    Update(bytes, bytes.data());
    Must(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG,
                             static_cast<int>(expected.size()),
                             expected.data()));
    return EVP_CipherFinal_ex(context_.get(), Raw(expected.data()), &written) ==
           1;
  }

 private:
  enum class Way : int { kOpen = 0, kSeal = 1 };

  void Begin(Way way, const Nonce& nonce, std::span<const std::byte> also) {
    Must(EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr,
                           Raw(nonce.data()), static_cast<int>(way)));
    Update(also, nullptr);
  }

  void Update(std::span<const std::byte> in, std::byte* out) {
    int written = 0;
    if (in.empty()) return;
    Must(EVP_CipherUpdate(context_.get(), Raw(out), &written, Raw(in.data()),
                          static_cast<int>(in.size())));
  }

  // It wipes the key.
  std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context_;
};

}  // namespace

std::unique_ptr<Cipher> MakeOpenSslCipher(KeyBytes key) {
  return std::make_unique<OpenSslCipher>(key);
}

}  // namespace hearsay::transport::seal
