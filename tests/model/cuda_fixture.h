// What tests of the CUDA back end share: they need a GPU, and say so where
// there is none.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "model/cuda/noise.h"
#include "model/cuda_backend.h"

namespace hearsay::model {

inline NoiseKey KeyOf(std::uint32_t seed) {
  NoiseKey key{};
  for (std::size_t i = 0; i < key.size(); ++i)
    key[i] = seed * 2654435761U + static_cast<std::uint32_t>(i) * 40503U;
  return key;
}

inline cuda::ChaChaKey Words(const NoiseKey& key) {
  cuda::ChaChaKey words{};
  std::copy(key.begin(), key.end(), words.words);
  return words;
}

inline std::vector<std::uint32_t> Rows(std::size_t count, std::size_t of) {
  std::vector<std::uint32_t> rows(count);
  for (std::size_t i = 0; i < count; ++i)
    rows[i] = static_cast<std::uint32_t>((i * 7919 + 3) % of);
  return rows;
}

struct Difference {
  double largest = 0, scale = 0;
};

// Of `got` from `expected`, beside the largest of `expected`.
inline Difference Compare(std::span<const float> got,
                          std::span<const float> expected) {
  Difference difference;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double by = std::abs(static_cast<double>(got[i]) - expected[i]);
    if (!(by <= difference.largest)) difference.largest = by;  // NaN too.
    difference.scale =
        std::max(difference.scale, std::abs(static_cast<double>(expected[i])));
  }
  return difference;
}

inline void ExpectNear(const char* what, std::span<const float> got,
                       std::span<const float> expected, double tolerance) {
  const auto difference = Compare(got, expected);
  EXPECT_LE(difference.largest, tolerance * (difference.scale + 1e-30))
      << what << ": off by " << difference.largest << " where the largest is "
      << difference.scale;
}

// Whether it is that of tests/emulated_cuda, which takes far longer.
inline bool IsEmulated() { return ProbeCuda().name == "an emulated device"; }

class CudaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto probe = ProbeCuda();
    if (!probe.usable && std::getenv("HEARSAY_GPU_REQUIRED") != nullptr)
      FAIL() << probe.reason;
    if (!probe.usable) GTEST_SKIP() << "needs a GPU: " << probe.reason;
  }
};

}  // namespace hearsay::model
