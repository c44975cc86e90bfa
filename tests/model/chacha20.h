// ChaCha20's block function, written as RFC 8439 2.3 says it, one block at a
// time: the oracle of the masks of dropout.
#pragma once

#include <array>
#include <cstdint>

namespace hearsay::model {

using ChaChaBlock = std::array<std::uint32_t, 16>;

inline ChaChaBlock ReferenceChaCha20(
    const std::array<std::uint32_t, 8>& key, std::uint32_t counter,
    const std::array<std::uint32_t, 3>& nonce) {
  const auto turned = [](std::uint32_t x, int bits) {
    return (x << bits) | (x >> (32 - bits));
  };
  ChaChaBlock x = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574,
                   key[0],     key[1],     key[2],     key[3],
                   key[4],     key[5],     key[6],     key[7],
                   counter,    nonce[0],   nonce[1],   nonce[2]};
  const ChaChaBlock start = x;
  const auto quarter_round = [&](std::size_t a, std::size_t b, std::size_t c,
                                 std::size_t d) {
    x[a] += x[b];
    x[d] = turned(x[d] ^ x[a], 16);
    x[c] += x[d];
    x[b] = turned(x[b] ^ x[c], 12);
    x[a] += x[b];
    x[d] = turned(x[d] ^ x[a], 8);
    x[c] += x[d];
    x[b] = turned(x[b] ^ x[c], 7);
  };
  for (int round = 0; round < 10; ++round) {
    for (std::size_t column = 0; column < 4; ++column)
      quarter_round(column, column + 4, column + 8, column + 12);
    for (std::size_t column = 0; column < 4; ++column)
      quarter_round(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4,
                    12 + (column + 3) % 4);
  }
  for (std::size_t i = 0; i < 16; ++i) x[i] += start[i];
  return x;
}

}  // namespace hearsay::model
