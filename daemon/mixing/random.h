// Many uniform words at once: what stochastic rounding draws.
//
// Sixteen generators side by side, so that they vectorise. No secret and no
// part of any privacy claim: what is rounded has been released already.
// Source: xoshiro128++ (Blackman and Vigna 2021), seeded by SplitMix64.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace hearsay::mixing {

class Random {
 public:
  static constexpr std::size_t kLanes = 16;
  static constexpr std::size_t kWords = 256;
  using Words = std::array<std::uint32_t, kWords>;

  explicit Random(std::uint64_t seed);

  // Word i is the next of generator i mod kLanes.
  void Fill(Words& words);

 private:
  using Lanes = std::array<std::uint32_t, kLanes>;
  alignas(64) std::array<Lanes, 4> state_;
};

}  // namespace hearsay::mixing
