// Where a byte is among the next 64, as a mask: what makes a tokeniser quick.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace hearsay::model::prep {

inline constexpr std::size_t kMaskBytes = 64;

// Bit i: text[i] == byte. Requires: 64 readable bytes.
inline std::uint64_t ByteMask(const char* text, char byte) {
  std::uint64_t mask = 0;
#ifdef __SSE2__
  const __m128i wanted = _mm_set1_epi8(byte);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m128i bytes =
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + 16 * i));
    mask |= static_cast<std::uint64_t>(static_cast<unsigned>(
                _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, wanted))))
            << (16 * i);
  }
#else
  for (std::size_t i = 0; i < kMaskBytes; ++i)
    mask |= static_cast<std::uint64_t>(text[i] == byte) << i;
#endif
  return mask;
}

// Bit i: an odd number of bits of the mask, up to and with i.
inline std::uint64_t Parities(std::uint64_t mask) {
  for (int shift = 1; shift < 64; shift *= 2) mask ^= mask << shift;
  return mask;
}

}  // namespace hearsay::model::prep
