// A pseudo-random order of 0 .. size - 1 that takes no memory: where each
// number comes is computed, by any thread, in any order, and without the
// others.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace hearsay::model::prep {

// A Feistel network over the next power of two, walked until it stays inside;
// of more rounds where halves of few bits would make them alike. Source: Black,
// Rogaway 2002, Ciphers with arbitrary finite domains, section 4. Deals rows;
// nothing secret rests on it.
class Permutation {
 public:
  Permutation() = default;
  Permutation(std::uint64_t size, std::uint64_t seed) : size_(size) {
    const int bits =
        std::max(2, static_cast<int>(std::bit_width(size > 0 ? size - 1 : 0)));
    constexpr int kManyBits = 16;
    rounds_ = bits < kManyBits ? kMostRounds : 4;
    right_bits_ = bits / 2;
    left_mask_ = (std::uint64_t{1} << (bits - right_bits_)) - 1;
    right_mask_ = (std::uint64_t{1} << right_bits_) - 1;
    for (std::uint64_t& key : keys_) key = Mix(seed += 0x9e3779b97f4a7c15ULL);
  }

  // Requires: index < size.
  std::uint64_t operator()(std::uint64_t index) const {
    do {
      std::uint64_t left = index >> right_bits_;
      std::uint64_t right = index & right_mask_;
      for (std::size_t i = 0; i < rounds_; i += 2) {
        left ^= Round(right ^ keys_[i]) & left_mask_;
        right ^= Round(left ^ keys_[i + 1]) & right_mask_;
      }
      index = left << right_bits_ | right;
    } while (index >= size_);
    return index;
  }

  // Spreads a number over 64 bits. Source: Steele, Lea, Flood 2014, SplitMix.
  static std::uint64_t Mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }

 private:
  static constexpr std::size_t kMostRounds = 16;

  static std::uint64_t Round(std::uint64_t x) {
    x *= 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 32)) * 0x94d049bb133111ebULL;
    return x >> 32;
  }

  std::uint64_t size_ = 0;
  int right_bits_ = 1;
  std::uint64_t left_mask_ = 1;
  std::uint64_t right_mask_ = 1;
  std::size_t rounds_ = 0;
  std::array<std::uint64_t, kMostRounds> keys_{};
};

}  // namespace hearsay::model::prep
