#include "dp/key_stream.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace hearsay::dp {
namespace {

// What is encrypted, a piece at a time: few enough to stay in the first-level
// cache beside what they are turned into.
constexpr std::array<unsigned char, std::size_t{8} << 10> kZeros{};

// Separates these keys from any other use of HKDF on the same bytes.
constexpr char kInfo[] = "hearsay dp ratchet 1";

const unsigned char* Bytes(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}
unsigned char* Bytes(std::byte* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}

[[noreturn]] void Fail(const char* what) {
  throw std::runtime_error(std::string("OpenSSL: ") + what +
                           " failed; no private step can be taken");
}

EVP_KDF* Hkdf() {
  // Fetching costs more than deriving and is thread-safe only once.
  static const std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf(
      EVP_KDF_fetch(nullptr, "HKDF", nullptr), &EVP_KDF_free);
  return kdf.get();
}

}  // namespace

KeyStream::KeyStream() : context_(EVP_CIPHER_CTX_new()) {
  if (context_ == nullptr) Fail("allocation of a cipher");
}

void KeyStream::Restart(const Key& key) {
  // A key serves one stream only, so the counter may begin at 0 every time.
  const std::array<unsigned char, 16> counter{};
  if (EVP_EncryptInit_ex2(context_.get(), EVP_aes_256_ctr(), Bytes(key.data()),
                          counter.data(), nullptr) != 1)
    Fail("AES-256-CTR");
}

void KeyStream::Fill(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kZeros.size()));
    int written = 0;
    if (EVP_EncryptUpdate(context_.get(), Bytes(piece.data()), &written,
                          kZeros.data(), static_cast<int>(piece.size())) != 1 ||
        static_cast<std::size_t>(written) != piece.size())
      Fail("AES-256-CTR");
    bytes = bytes.subspan(piece.size());
  }
}

void DeriveNextKey(std::span<const std::byte> salt, Key& key) {
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
      EVP_KDF_CTX_new(Hkdf()), &EVP_KDF_CTX_free);
  if (context == nullptr) Fail("HKDF");
  // OpenSSL takes pointers to non-const and copies what they point to.
  char digest[] = "SHA256";
  char info[sizeof kInfo];
  std::memcpy(info, kInfo, sizeof kInfo);
  Key next;
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key.data(),
                                        key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT,
                                        const_cast<std::byte*>(salt.data()),
                                        salt.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info,
                                        sizeof kInfo - 1),
      OSSL_PARAM_construct_end()};
  const int derived = EVP_KDF_derive(context.get(), Bytes(next.data()),
                                     next.size(), parameters);
  if (derived == 1) key = next;
  OPENSSL_cleanse(next.data(), next.size());
  if (derived != 1) Fail("HKDF");
}

}  // namespace hearsay::dp
