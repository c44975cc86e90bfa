// Compiled with -ffast-math, which is what makes glibc declare its vector
// functions, but with -fno-associative-math: Uniform below depends on the order
// of its additions.
#include "dp/box_muller.h"

#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <numbers>

#include "dp/vector_clones.h"

namespace hearsay::dp {
namespace {

// (word + 1) 2^-64 in (0, 1]. AVX2 converts no 64-bit integers to double, so
// each half is placed into the fraction of 2^52, which any machine can do.
inline double Uniform(std::uint64_t word) {
  constexpr std::uint64_t kTwo52 = std::uint64_t{0x433} << 52;
  const double high = std::bit_cast<double>((word >> 32) | kTwo52) - 0x1p52;
  const double low =
      std::bit_cast<double>((word & 0xffffffffU) | kTwo52) - (0x1p52 - 1);
  return high * 0x1p-32 + low * 0x1p-64;
}

// Uniform in [-pi, pi).
inline double Angle(std::uint64_t word) {
  constexpr std::uint64_t kOne = std::uint64_t{0x3ff} << 52;
  return (std::bit_cast<double>((word >> 12) | kOne) - 1.5) *
         (2 * std::numbers::pi);
}

// Four loops: GCC turns sin and cos of one value, met in one loop, into sincos,
// for which the library has no vector version that it can call.
HEARSAY_VECTOR_CLONES
void Transform(const std::uint64_t* __restrict words,
               double* __restrict normals, std::size_t pairs) {
  std::array<double, kBoxMullerPairs> radius;
  std::array<double, kBoxMullerPairs> angle;
  for (std::size_t i = 0; i < pairs; ++i)
    radius[i] = std::sqrt(-2 * std::log(Uniform(words[i])));
  for (std::size_t i = 0; i < pairs; ++i) angle[i] = Angle(words[pairs + i]);
  for (std::size_t i = 0; i < pairs; ++i)
    normals[i] = radius[i] * std::cos(angle[i]);
  for (std::size_t i = 0; i < pairs; ++i)
    normals[pairs + i] = radius[i] * std::sin(angle[i]);
}

}  // namespace

void BoxMuller(std::span<const std::uint64_t> words,
               std::span<double> normals) {
  assert(words.size() == normals.size() && words.size() % 2 == 0 &&
         words.size() <= 2 * kBoxMullerPairs);
  Transform(words.data(), normals.data(), words.size() / 2);
}

}  // namespace hearsay::dp
