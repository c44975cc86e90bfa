#include "transport/seal/hkdf.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

namespace hearsay::transport::seal {
namespace {

// OpenSSL's parameters are for reading and writing both; these are read. It
// takes none that is empty: leaving it out is the same.
void Add(std::vector<OSSL_PARAM>& parameters, const char* name,
         std::span<const std::byte> bytes) {
  if (!bytes.empty())
    parameters.push_back(OSSL_PARAM_construct_octet_string(
        name, const_cast<std::byte*>(bytes.data()), bytes.size()));
}

void Derive(int mode, std::vector<OSSL_PARAM> parameters,
            std::span<std::byte> out) {
  const std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf(
      EVP_KDF_fetch(nullptr, "HKDF", nullptr), &EVP_KDF_free);
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
      kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr, &EVP_KDF_CTX_free);
  std::array<char, 7> digest{"SHA256"};
  parameters.push_back(OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                                        digest.data(), 0));
  parameters.push_back(OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode));
  parameters.push_back(OSSL_PARAM_construct_end());
  if (!context || EVP_KDF_derive(context.get(),
                                 reinterpret_cast<unsigned char*>(out.data()),
                                 out.size(), parameters.data()) != 1)
    throw std::runtime_error("OpenSSL: no HKDF with SHA-256");
}

}  // namespace

Key HkdfExtract(std::span<const std::byte> salt,
                std::span<const std::byte> input) {
  std::vector<OSSL_PARAM> parameters;
  Add(parameters, OSSL_KDF_PARAM_SALT, salt);
  Add(parameters, OSSL_KDF_PARAM_KEY, input);
  Key key;
  Derive(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, std::move(parameters), key);
  return key;
}

void HkdfExpand(const Key& key, std::string_view info,
                std::span<std::byte> out) {
  std::vector<OSSL_PARAM> parameters;
  Add(parameters, OSSL_KDF_PARAM_KEY, key);
  Add(parameters, OSSL_KDF_PARAM_INFO, std::as_bytes(std::span(info)));
  Derive(EVP_KDF_HKDF_MODE_EXPAND_ONLY, std::move(parameters), out);
}

}  // namespace hearsay::transport::seal
