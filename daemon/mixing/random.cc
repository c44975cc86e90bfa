#include "daemon/mixing/random.h"

#include "daemon/mixing/clones.h"

namespace hearsay::mixing {

namespace {

std::uint64_t SplitMix(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

constexpr std::uint32_t Rotated(std::uint32_t x, unsigned by) {
  return (x << by) | (x >> (32 - by));
}

// On the stack while it runs, so that the compiler keeps it in registers.
HEARSAY_CLONES
void Draw(std::uint32_t* state, std::uint32_t* words) {
  constexpr std::size_t kLanes = Random::kLanes;
  std::uint32_t a[kLanes], b[kLanes], c[kLanes], d[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) {
    a[i] = state[i];
    b[i] = state[kLanes + i];
    c[i] = state[2 * kLanes + i];
    d[i] = state[3 * kLanes + i];
  }
  for (std::size_t at = 0; at < Random::kWords; at += kLanes)
    for (std::size_t i = 0; i < kLanes; ++i) {
      words[at + i] = Rotated(a[i] + d[i], 7) + a[i];
      const std::uint32_t shifted = b[i] << 9U;
      c[i] ^= a[i];
      d[i] ^= b[i];
      b[i] ^= c[i];
      a[i] ^= d[i];
      c[i] ^= shifted;
      d[i] = Rotated(d[i], 11);
    }
  for (std::size_t i = 0; i < kLanes; ++i) {
    state[i] = a[i];
    state[kLanes + i] = b[i];
    state[2 * kLanes + i] = c[i];
    state[3 * kLanes + i] = d[i];
  }
}

}  // namespace

Random::Random(std::uint64_t seed) {
  for (std::size_t lane = 0; lane < kLanes; ++lane)
    for (std::size_t half = 0; half < 2; ++half) {
      const std::uint64_t word = SplitMix(seed);
      state_[2 * half][lane] = static_cast<std::uint32_t>(word);
      state_[2 * half + 1][lane] = static_cast<std::uint32_t>(word >> 32U);
    }
}

void Random::Fill(Words& words) { Draw(state_[0].data(), words.data()); }

}  // namespace hearsay::mixing
