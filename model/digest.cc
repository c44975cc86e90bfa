#include "model/digest.h"

#include <xxhash.h>

#include <new>

namespace hearsay::model {

Digest::Digest() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_128bits_reset(state_.get());
}

void Digest::Add(std::span<const std::byte> bytes) {
  // An empty span may hold a null pointer, which the library does not accept.
  if (bytes.empty()) return;
  XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
}

std::string Digest::Hex() const {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_.get()));
  std::string hex;
  for (const unsigned char byte : canonical.digest) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

void Digest::Free::operator()(XXH3_state_s* state) const {
  XXH3_freeState(state);
}

}  // namespace hearsay::model
