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
  std::array<std::uint64_t, 2 * kBoxMullerPairs> words;
  std::array<double, 2 * kBoxMullerPairs> normals;
  while (!sum.empty()) {
    const std::size_t count = std::min(sum.size(), normals.size());
    const std::size_t whole_pairs = count + count % 2;
    random.Fill(std::span(words).first(whole_pairs));
    BoxMuller(std::span(words).first(whole_pairs),
              std::span(normals).first(whole_pairs));
    // In double, rounded once: the noise of a large stddev loses no bits before
    // it meets the sum.
    for (std::size_t i = 0; i < count; ++i)
      sum[i] = static_cast<float>(sum[i] + stddev * normals[i]);
    sum = sum.subspan(count);
  }
  // The stack outlives this call; the ratchet must be the only way back.
  OPENSSL_cleanse(words.data(), sizeof words);
  OPENSSL_cleanse(normals.data(), sizeof normals);
}

}  // namespace hearsay::dp
