// Rows times small matrices, by every set of instructions that this machine
// has, against loops in double.
#include "model/cpu/row_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/model/random_values.h"

namespace hearsay::model::cpu {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Sizes {
  int B, K, N;
};
constexpr Sizes kSizes[] = {{1, 1, 16},    {5, 10, 64}, {6, 64, 64},
                            {7, 3, 16},    {8, 17, 48}, {9, 64, 32},
                            {16, 100, 16}, {25, 33, 80}};

// A row's product and bias, of weights (K, N).
double Expected(const Sizes& sizes, const Values& in, const Values& weight,
                const Values& bias, int b, int n) {
  double sum = bias[static_cast<std::size_t>(n)];
  for (int k = 0; k < sizes.K; ++k)
    sum += double{in[static_cast<std::size_t>(b * sizes.K + k)]} *
           weight[static_cast<std::size_t>(k * sizes.N + n)];
  return sum;
}

TEST(DenseKernelTest, IsTheLoopAndCutsBelowZeroOnRequest) {
  for (const Sizes& sizes : kSizes) {
    const auto K = static_cast<std::size_t>(sizes.K);
    const auto N = static_cast<std::size_t>(sizes.N);
    const auto rows = static_cast<std::size_t>(sizes.B);
    const Values in = Random(rows * K, 1), weight = Random(K * N, 2);
    const Values bias = Random(N, 3);
    Values packed(K * N);
    for (std::size_t k = 0; k < K; ++k)
      for (std::size_t n = 0; n < N; ++n)
        packed[(n / kColumns * K + k) * kColumns + n % kColumns] =
            weight[k * N + n];
    for (const ConvKernels& kernels : AllKernels())
      for (const bool relu : {false, true}) {
        Values result(rows * N + 1, 7);
        kernels.dense(sizes.B, sizes.K, sizes.N, in.data(), packed.data(),
                      bias.data(), relu, result.data());
        for (int b = 0; b < sizes.B; ++b)
          for (int n = 0; n < sizes.N; ++n) {
            const double z = Expected(sizes, in, weight, bias, b, n);
            ASSERT_NEAR(result[static_cast<std::size_t>(b * sizes.N + n)],
                        relu ? std::max(z, 0.0) : z, 1e-4)
                << kernels.name << ' ' << b << ' ' << n;
          }
        EXPECT_EQ(result.back(), 7) << "beyond the end";
      }
  }
}

TEST(DenseKernelTest, WhatIsNoNumberStaysSoAndInItsRow) {
  constexpr int kB = 13, kK = 5, kN = 16;
  const Values packed = Random(kK * kN, 4), bias = Random(kN, 5);
  const Values clean = Random(kB * kK, 6);
  for (int spoiled = 0; spoiled < kB; ++spoiled) {
    Values in = clean;
    in[static_cast<std::size_t>(spoiled * kK + 2)] = kNan;
    for (const ConvKernels& kernels : AllKernels()) {
      Values expected(kB * kN), result(kB * kN);
      kernels.dense(kB, kK, kN, clean.data(), packed.data(), bias.data(), true,
                    expected.data());
      kernels.dense(kB, kK, kN, in.data(), packed.data(), bias.data(), true,
                    result.data());
      for (std::size_t i = 0; i < result.size(); ++i)
        if (static_cast<int>(i) / kN == spoiled)
          ASSERT_TRUE(std::isnan(result[i])) << kernels.name << ' ' << i;
        else
          ASSERT_EQ(result[i], expected[i]) << kernels.name << ' ' << i;
    }
  }
}

TEST(RowProductTest, TakesMatricesBothWays) {
  for (const Sizes& sizes : kSizes) {
    const auto K = static_cast<std::size_t>(sizes.K);
    const auto N = static_cast<std::size_t>(sizes.N);
    const auto rows = static_cast<std::size_t>(sizes.B);
    RowProduct product(sizes.K, sizes.N);
    ASSERT_TRUE(product.fits());
    Cutter counting(nullptr);
    product.Cut(counting);
    Values memory(counting.used());
    Cutter cutter(memory.data());
    product.Cut(cutter);
    const Values in = Random(rows * K, 1), weight = Random(K * N, 2);
    const Values bias = Random(N, 3), none(N);
    Values transposed(K * N);
    for (std::size_t k = 0; k < K; ++k)
      for (std::size_t n = 0; n < N; ++n)
        transposed[n * K + k] = weight[k * N + n];
    Values result(rows * N);
    const auto expect = [&](const Values& added, const char* what) {
      for (int b = 0; b < sizes.B; ++b)
        for (int n = 0; n < sizes.N; ++n)
          ASSERT_NEAR(result[static_cast<std::size_t>(b * sizes.N + n)],
                      Expected(sizes, in, weight, added, b, n), 1e-4)
              << what << ' ' << b << ' ' << n;
    };
    product.TimesTransposed(transposed.data(), sizes.B, in.data(), bias.data(),
                            false, result.data());
    expect(bias, "transposed, with a bias");
    product.Times(weight.data(), sizes.B, in.data(), result.data());
    expect(none, "as it lies");
    product.TimesTransposed(transposed.data(), sizes.B, in.data(), nullptr,
                            false, result.data());
    expect(none, "transposed");
    product.Times(weight.data(), 0, in.data(), result.data());  // No rows.
  }
}

TEST(RowProductTest, LeavesToBlasWhatTilesAreNotFor) {
  EXPECT_TRUE(RowProduct(64, 64).fits());
  EXPECT_FALSE(RowProduct(64, 2).fits()) << "no whole tile is that narrow";
  EXPECT_FALSE(RowProduct(64, 65).fits());
  EXPECT_FALSE(RowProduct(784, 512).fits()) << "larger than a cache";
}

}  // namespace
}  // namespace hearsay::model::cpu
