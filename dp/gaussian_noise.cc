#include "dp/gaussian_noise.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "dp/box_muller.h"

namespace hearsay::dp {

void AddGaussianNoise(double stddev, SecureRandom& random,
                      std::span<float> sum) {
  if (!(stddev >= 0 && std::isfinite(stddev)))
    throw std::invalid_argument("noise of standard deviation " +
                                std::to_string(stddev) +
                                ": must be finite and not negative");
  if (stddev == 0) return;
  // The stack outlives this call; the ratchet must be the only way back.
  alignas(64) std::array<std::uint64_t, 2 * kBoxMullerPairs> words;
  BoxMullerScratch scratch;
  const std::size_t most = std::min(sum.size() + sum.size() % 2, words.size());
  while (!sum.empty()) {
    const std::size_t count = std::min(sum.size(), words.size());
    const auto drawn = std::span(words).first(count + count % 2);
    random.Fill(drawn);
    AddBoxMuller(drawn, stddev, sum.first(count), scratch);
    sum = sum.subspan(count);
  }
  OPENSSL_cleanse(words.data(), most * sizeof words[0]);
  OPENSSL_cleanse(&scratch, sizeof scratch);
}

}  // namespace hearsay::dp
