// XXH3-128, streamed: our checksum against accidents (not against malice).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

struct XXH3_state_s;

namespace hearsay::model {

class Digest {
 public:
  Digest();
  void Add(std::span<const std::byte> bytes);
  // 32 lower-case hexadecimal digits, big-endian as XXH128_canonical_t.
  std::string Hex() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

inline constexpr std::size_t kDigestDigits = 32;

}  // namespace hearsay::model
