// A random order of n things that can be looked up both ways without being
// written down: a Feistel network over the least power of four that holds n,
// walked until it lands below n (Black, Rogaway 2002, "Ciphers with arbitrary
// finite domains", cycle walking). No secret: it only has to look random.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace hearsay::mixing {

// A number that looks random, of two (the finaliser of SplitMix64, Steele et
// al. 2014).
constexpr std::uint64_t Mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a + 0x9e3779b97f4a7c15ULL * (b + 1);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

class Shuffle {
 public:
  // Requires: n > 0.
  Shuffle(std::size_t n, std::uint64_t key)
      : n_(n),
        half_((static_cast<unsigned>(std::bit_width(n - 1)) + 1) / 2),
        mask_((std::uint64_t{1} << half_) - 1),
        key_(key) {}

  // Which thing stands at `place`, and at which place `thing` stands.
  std::size_t At(std::size_t place) const {
    std::uint64_t x = place;
    do {
      x = Forward(x);
    } while (x >= n_);
    return x;
  }
  std::size_t PlaceOf(std::size_t thing) const {
    std::uint64_t x = thing;
    do {
      x = Backward(x);
    } while (x >= n_);
    return x;
  }

 private:
  static constexpr unsigned kRounds = 4;

  std::uint64_t Forward(std::uint64_t x) const {
    auto left = x >> half_;
    auto right = x & mask_;
    for (unsigned round = 0; round < kRounds; ++round) {
      const auto next = left ^ (Mix(key_ + round, right) & mask_);
      left = right;
      right = next;
    }
    return left << half_ | right;
  }
  std::uint64_t Backward(std::uint64_t x) const {
    auto left = x >> half_;
    auto right = x & mask_;
    for (unsigned round = kRounds; round-- > 0;) {
      const auto before = right ^ (Mix(key_ + round, left) & mask_);
      right = left;
      left = before;
    }
    return left << half_ | right;
  }

  const std::uint64_t n_;
  const unsigned half_;  // bits
  const std::uint64_t mask_;
  const std::uint64_t key_;
};

}  // namespace hearsay::mixing
