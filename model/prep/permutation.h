// A pseudo-random order of 0 .. size - 1 that takes no memory: where each
// number comes is computed, by any thread, in any order, and without the
// others.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

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
    rounds_ = bits < kManyBits ? kMostRounds : kFewRounds;
    right_bits_ = bits / 2;
    left_mask_ = (std::uint64_t{1} << (bits - right_bits_)) - 1;
    right_mask_ = (std::uint64_t{1} << right_bits_) - 1;
    for (std::uint64_t& key : keys_) key = Mix(seed += 0x9e3779b97f4a7c15ULL);
    constexpr int kMostBits = 32;
    if (kManyBits <= bits && bits <= kMostBits) Tabulate();
  }

  // Requires: index < size.
  std::uint64_t operator()(std::uint64_t index) const {
    do {
      index = Step(index);
    } while (index >= size_);
    return index;
  }

  // places[i] = (*this)(first + i). Several times as quick: the rounds of one
  // wait for each other, those of its neighbours need not, and which of them
  // have to walk on is no branch. Requires: kMany places at most.
  static constexpr std::size_t kMany = 1024;
  void Fill(std::uint64_t first, std::span<std::uint64_t> places) const {
    if (table_.empty())
      Walk(first, places, [this](std::uint64_t index) { return Step(index); });
    else
      Walk(first, places, Lookup{table_.data(), right_bits_, right_mask_});
  }

  // Spreads a number over 64 bits. Source: Steele, Lea, Flood 2014, SplitMix.
  static std::uint64_t Mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }

 private:
  static constexpr std::size_t kFewRounds = 4;
  static constexpr std::size_t kMostRounds = 16;

  // What Step does, of few rounds. By value: no place is part of it.
  struct Lookup {
    std::uint64_t operator()(std::uint64_t index) const {
      const std::uint16_t* round = table;
      const std::size_t values = std::size_t{2} << right_bits;
      std::uint64_t left = index >> right_bits;
      std::uint64_t right = index & right_mask;
#pragma GCC unroll 2
      for (std::size_t i = 0; i < kFewRounds; i += 2, round += 2 * values) {
        left ^= round[right];
        right ^= round[values + left];
      }
      return left << right_bits | right;
    }

    const std::uint16_t* table;
    int right_bits;
    std::uint64_t right_mask;
  };

  // Halves have few values, so that what a round makes of each can be known.
  void Tabulate() {
    const std::size_t values = std::size_t{2} << right_bits_;
    table_.resize(kFewRounds * values);
    for (std::size_t i = 0; i < table_.size(); ++i) {
      const std::size_t round = i / values;
      table_[i] = static_cast<std::uint16_t>(
          Round((i % values) ^ keys_[round]) &
          (round % 2 == 0 ? left_mask_ : right_mask_));
    }
  }

  template <typename Once>
  void Walk(std::uint64_t first, std::span<std::uint64_t> places,
            const Once once) const {
    const std::uint64_t size = size_;
    std::array<std::uint32_t, kMany> outside;
    std::size_t count = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const std::uint64_t place = places[i] = once(first + i);
      outside[count] = static_cast<std::uint32_t>(i);
      count += place >= size ? 1 : 0;
    }
    while (count > 0) {
      std::size_t still = 0;
      for (std::size_t j = 0; j < count; ++j) {
        std::uint64_t& at = places[outside[j]];
        const std::uint64_t place = at = once(at);
        outside[still] = outside[j];
        still += place >= size ? 1 : 0;
      }
      count = still;
    }
  }

  std::uint64_t Step(std::uint64_t index) const {
    std::uint64_t left = index >> right_bits_;
    std::uint64_t right = index & right_mask_;
    for (std::size_t i = 0; i < rounds_; i += 2) {
      left ^= Round(right ^ keys_[i]) & left_mask_;
      right ^= Round(left ^ keys_[i + 1]) & right_mask_;
    }
    return left << right_bits_ | right;
  }

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
  std::vector<std::uint16_t> table_;  // (few rounds, values); empty: not kept.
};

}  // namespace hearsay::model::prep
