// Short decimal numbers, eight digits at a time and without branches on their
// length. Nothing but shifts, masks and sums, which vectors of 64-bit lanes
// have too: quick_numbers.h reads many at once by the same function.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "model/prep/memo.h"  // kFieldMargin

namespace hearsay::model::prep {

inline constexpr std::size_t kQuickBytes = 8;

inline constexpr double kPowersOfTen[] = {1e0, 1e1, 1e2, 1e3,
                                          1e4, 1e5, 1e6, 1e7};

// A text of up to kQuickBytes as a number: its last character the highest byte.
struct QuickText {
  std::uint64_t word = 0;
  std::uint64_t used =
      0;  // Which bytes are the text's; none of any other text.
};

// Requires: kFieldMargin.
[[gnu::always_inline]] inline QuickText ReadQuickText(std::string_view text) {
  const bool fits = text.size() - 1 < kQuickBytes;
  const std::size_t before = fits ? 8 * (kQuickBytes - text.size()) : 0;
  std::uint64_t word = 0;
  std::memcpy(&word, text.data(), sizeof word);
  return {word << before, fits ? ~std::uint64_t{0} << before : 0};
}

struct QuickDigits {
  std::uint64_t digits = 0;   // Without the point: below 10^8.
  std::uint64_t point = 0;    // The highest bit of its byte, if there is one.
  std::uint64_t refused = 0;  // Not 0: it is no such number.

  // As many digits stand behind the point as bytes above it.
  double divisor() const {
    return point == 0 ? 1
                      : kPowersOfTen[7 - static_cast<std::size_t>(
                                             std::countr_zero(point)) /
                                             8];
  }
};

[[gnu::always_inline]] inline QuickDigits ReadQuickDigits(QuickText text) {
  constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
  std::uint64_t word = text.word;
  // The highest bit of each byte that is a point.
  const std::uint64_t other = word ^ (kOnes * '.');
  const std::uint64_t points =
      ~(((other & (kOnes * 0x7f)) + kOnes * 0x7f) | other) & (kOnes * 0x80);
  const std::uint64_t point = points & (~points + 1);
  // Digits before it move up over it.
  const std::uint64_t below = (point >> 7) - 1;
  const std::uint64_t moved = (word & (~below << 8)) | ((word & below) << 8);
  word = points != 0 ? moved : word;
  const std::uint64_t used = points != 0 ? text.used << 8 : text.used;
  word = (word & used) | (kOnes * '0' & ~used);
  const std::uint64_t strange =
      ((word + kOnes * 0x46) | (word - kOnes * '0')) & (kOnes * 0x80);
  // Pairs, fours, then all eight. Source: Lemire 2018, after Muła; with shifts
  // where it multiplies.
  word -= kOnes * '0';
  word = (word << 3) + (word << 1) + (word >> 8);
  word &= 0x00ff00ff00ff00ffULL;
  word = (word << 6) + (word << 5) + (word << 2) + (word >> 16);
  word &= 0x0000ffff0000ffffULL;
  const std::uint64_t high = word & 0xffffffffULL;
  word = (high << 13) + (high << 10) + (high << 9) + (high << 8) + (high << 4) +
         (word >> 32);
  return {word, point, used == 0 ? 1 : strange};
}

// Up to eight digits, or seven and a point; false for any other text, which may
// be a number all the same. What it gives is what ParseNumber does: digits and
// power of ten are exact, so that one division rounds once. No std::optional:
// the compiler would keep it in memory. Requires: kFieldMargin.
[[gnu::always_inline]] inline bool QuickNumber(std::string_view text,
                                               double& number) {
  if (std::endian::native != std::endian::little) return false;
  const QuickDigits read = ReadQuickDigits(ReadQuickText(text));
  if (read.refused != 0) return false;
  number = static_cast<double>(read.digits) / read.divisor();
  return true;
}

}  // namespace hearsay::model::prep
