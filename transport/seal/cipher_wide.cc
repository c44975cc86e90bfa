// That of Intel's multi-buffer library, with AES instructions of four blocks.
#include "transport/seal/cipher.h"

#ifdef HEARSAY_IPSEC_MB

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>

namespace hearsay::transport::seal {
namespace {

constexpr std::uint64_t kWide =
    IMB_FEATURE_AVX512_SKX | IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ;

// Only functions, chosen for this processor; null if it is none for them. Its
// jobs, which are what has state, are not used. Kept until the process ends.
const IMB_MGR* Functions() {
  static const std::unique_ptr<IMB_MGR, decltype(&free_mb_mgr)> manager(
      [] {
        IMB_MGR* made = alloc_mb_mgr(0);
        if (made != nullptr) init_mb_mgr_auto(made, nullptr);
        return made;
      }(),
      &free_mb_mgr);
  return manager && (manager->features & kWide) == kWide ? manager.get()
                                                         : nullptr;
}

const std::uint8_t* Bytes(const std::byte* bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes);
}
std::uint8_t* Bytes(std::byte* bytes) {
  return reinterpret_cast<std::uint8_t*>(bytes);
}

class WideCipher final : public Cipher {
 public:
  WideCipher(const IMB_MGR& functions, KeyBytes key) : functions_(functions) {
    functions_.gcm256_pre(key.data(), &key_);
  }
  ~WideCipher() override {
    OPENSSL_cleanse(&key_, sizeof key_);
    OPENSSL_cleanse(&context_, sizeof context_);
  }

  Aead::Tag Seal(const Nonce& nonce, std::span<const std::byte> also,
                 std::span<const std::byte> in,
                 std::span<std::byte> out) override {
    Aead::Tag tag;
    functions_.gcm256_enc(&key_, &context_, Bytes(out.data()), Bytes(in.data()),
                          in.size(), Bytes(nonce.data()), Bytes(also.data()),
                          also.size(), Bytes(tag.data()), tag.size());
    return tag;
  }

  bool Open(const Nonce& nonce, std::span<const std::byte> also,
            std::span<std::byte> bytes, const Aead::Tag& tag) override {
    Aead::Tag right;
    functions_.gcm256_dec(&key_, &context_, Bytes(bytes.data()),
                          Bytes(bytes.data()), bytes.size(),
                          Bytes(nonce.data()), Bytes(also.data()), also.size(),
                          Bytes(right.data()), right.size());
    return CRYPTO_memcmp(right.data(), tag.data(), tag.size()) == 0;
  }

 private:
  const IMB_MGR& functions_;
  gcm_key_data key_;
  gcm_context_data context_;
};

}  // namespace

std::unique_ptr<Cipher> MakeWideCipher(KeyBytes key) {
  const IMB_MGR* functions = Functions();
  if (functions == nullptr) return nullptr;
  return std::make_unique<WideCipher>(*functions, key);
}

}  // namespace hearsay::transport::seal

#else

namespace hearsay::transport::seal {

std::unique_ptr<Cipher> MakeWideCipher(KeyBytes) { return nullptr; }

}  // namespace hearsay::transport::seal

#endif
