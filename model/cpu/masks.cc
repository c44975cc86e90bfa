#include "model/cpu/masks.h"

#include <algorithm>
#include <cmath>

#include "model/cpu/simd.h"

namespace hearsay::model::cpu {

namespace {

// So many blocks at a time, word by word: vector code, whatever its width.
constexpr int kLanes = 16;
constexpr int kWords = 16;
using Blocks = std::uint32_t[kWords][kLanes];

HEARSAY_VECTORISE
void QuarterRounds(Blocks& x, const int (&rounds)[8][4]) {
  for (const auto& [i, j, k, l] : rounds) {
    std::uint32_t* const a = x[i];
    std::uint32_t* const b = x[j];
    std::uint32_t* const c = x[k];
    std::uint32_t* const d = x[l];
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      a[lane] += b[lane];
      d[lane] ^= a[lane];
      d[lane] = d[lane] << 16 | d[lane] >> 16;
      c[lane] += d[lane];
      b[lane] ^= c[lane];
      b[lane] = b[lane] << 12 | b[lane] >> 20;
      a[lane] += b[lane];
      d[lane] ^= a[lane];
      d[lane] = d[lane] << 8 | d[lane] >> 24;
      c[lane] += d[lane];
      b[lane] ^= c[lane];
      b[lane] = b[lane] << 7 | b[lane] >> 25;
    }
  }
}

// Blocks `counter` to counter + kLanes - 1.
void ChaCha20(const Masks::Key& key, std::uint32_t counter,
              const std::array<std::uint32_t, 3>& nonce, Blocks& out) {
  constexpr int kRounds[8][4] = {{0, 4, 8, 12},  {1, 5, 9, 13},  {2, 6, 10, 14},
                                 {3, 7, 11, 15}, {0, 5, 10, 15}, {1, 6, 11, 12},
                                 {2, 7, 8, 13},  {3, 4, 9, 14}};
  std::uint32_t start[kWords] = {0x61707865, 0x3320646e, 0x79622d32,
                                 0x6b206574};
  std::copy(key.begin(), key.end(), start + 4);
  start[12] = counter;
  std::copy(nonce.begin(), nonce.end(), start + 13);
  const auto first = [&](int word, int lane) {
    return start[word] + (word == 12 ? static_cast<std::uint32_t>(lane) : 0);
  };
  for (int word = 0; word < kWords; ++word)
    for (int lane = 0; lane < kLanes; ++lane)
      out[word][lane] = first(word, lane);
  for (int round = 0; round < 10; ++round) QuarterRounds(out, kRounds);
  for (int word = 0; word < kWords; ++word)
    for (int lane = 0; lane < kLanes; ++lane)
      out[word][lane] += first(word, lane);
}

}  // namespace

void Masks::Begin(const Key& key) {
  key_ = key;
  next_ = 0;
  begun_ = true;
}

void Masks::Train(int count) {
  on_ = true;
  first_ = next_;
  next_ += static_cast<std::uint64_t>(count);
}

void Masks::Draw(std::uint32_t stream, int b, double rate, std::size_t n,
                 float* factors) const {
  const std::uint64_t example = first_ + static_cast<std::uint64_t>(b);
  const std::array<std::uint32_t, 3> nonce = {
      stream, static_cast<std::uint32_t>(example),
      static_cast<std::uint32_t>(example >> 32)};
  const auto least = static_cast<std::uint32_t>(
      std::min(std::llround(rate * 0x1p32), 0xffffffffLL));
  const auto kept = static_cast<float>(1 / (1 - rate));
  constexpr std::size_t kAtOnce = std::size_t{kLanes} * kWords;
  Blocks blocks;
  for (std::size_t i = 0; i < n; i += kAtOnce) {
    ChaCha20(key_, static_cast<std::uint32_t>(i / kWords), nonce, blocks);
    const std::size_t end = std::min(kAtOnce, n - i);
    for (std::size_t j = 0; j < end; ++j)
      factors[i + j] = blocks[j % kWords][j / kWords] < least ? 0 : kept;
  }
}

}  // namespace hearsay::model::cpu
