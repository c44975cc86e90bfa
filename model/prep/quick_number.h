// Short decimal numbers, eight digits at a time and without branches on their
// length.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "model/prep/memo.h"  // kFieldMargin

namespace hearsay::model::prep {

inline constexpr double kPowersOfTen[] = {1e0, 1e1, 1e2, 1e3,
                                          1e4, 1e5, 1e6, 1e7};

// Up to eight digits, or seven and a point; false for any other text, which may
// be a number all the same. What it gives is what ParseNumber does: digits and
// power of ten are exact, so that one division rounds once. No std::optional:
// the compiler would keep it in memory. Requires: kFieldMargin.
[[gnu::always_inline]] inline bool QuickNumber(std::string_view text,
                                               double& number) {
  constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
  std::size_t size = text.size();
  if (size - 1 >= 8 || std::endian::native != std::endian::little) return false;
  std::uint64_t word = 0;
  std::memcpy(&word, text.data(), sizeof word);
  word <<= 8 * (8 - size);  // The last character is the highest byte.
  // The highest bit of each byte that is a point.
  const std::uint64_t other = word ^ (kOnes * '.');
  const std::uint64_t points =
      ~(((other & (kOnes * 0x7f)) + kOnes * 0x7f) | other) & (kOnes * 0x80);
  std::size_t decimals = 0;
  if (points != 0) {
    // Digits before it move up over it.
    const int point = std::countr_zero(points) - 7;
    const std::uint64_t below = (std::uint64_t{1} << point) - 1;
    decimals = static_cast<std::size_t>(56 - point) / 8;
    word = (word & (~below << 7 << 1)) | ((word & below) << 8);
    if (--size == 0) return false;
  }
  const int empty = static_cast<int>(8 * (8 - size));
  const std::uint64_t used = ~std::uint64_t{0} << empty;
  word = (word & used) | (kOnes * '0' & ~used);
  if ((((word + kOnes * 0x46) | (word - kOnes * '0')) & (kOnes * 0x80)) != 0)
    return false;
  // Pairs, fours, then all eight. Source: Lemire 2018, after Muła.
  word -= kOnes * '0';
  word = word * 10 + (word >> 8);
  const std::uint64_t low = word & 0x000000ff000000ffULL;
  const std::uint64_t high = (word >> 16) & 0x000000ff000000ffULL;
  const std::uint64_t all =
      low * 0x000f424000000064ULL + high * 0x0000271000000001ULL;
  const auto digits = static_cast<double>(all >> 32);
  number = decimals == 0 ? digits : digits / kPowersOfTen[decimals];
  return true;
}

}  // namespace hearsay::model::prep
