#include "dp/box_muller.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <numbers>
#include <tuple>

#include "dp/vector_clones.h"

namespace hearsay::dp {
namespace {

using std::bit_cast;

constexpr std::size_t kBlock =
    std::tuple_size_v<decltype(BoxMullerScratch::quotients)>;

constexpr std::uint64_t kExponent = std::uint64_t{0x7ff} << 52;
constexpr std::uint64_t kFraction = (std::uint64_t{1} << 52) - 1;

constexpr std::uint64_t PowerOfTwo(int exponent) {
  return static_cast<std::uint64_t>(1023 + exponent) << 52;
}

// The polynomials are minimax ones (Remez), in relative error: 2^-59 for the
// logarithm, 2^-58 for the sine, 2^-64 for the cosine.

// log u = exponent log 2 + 2 atanh(quotient), where u = 2^exponent (1 + f),
// 1 + f is in [sqrt(1/2), sqrt(2)] and quotient = f / (2 + f).
struct Split {
  double quotient;
  double exponent;
};

[[gnu::always_inline]] inline Split SplitUniform(std::uint64_t word) {
  // AVX2 converts no 64-bit integers: each half of the word is placed into the
  // fraction of the power of two that gives it its value, and 1 into the low.
  const double high = bit_cast<double>((word >> 32) | PowerOfTwo(20)) - 0x1p20;
  const double low = bit_cast<double>((word & 0xffffffffU) | PowerOfTwo(-12)) -
                     (0x1p-12 - 0x1p-64);
  constexpr auto kRootHalf = bit_cast<std::uint64_t>(std::numbers::sqrt2 / 2);
  const std::uint64_t shifted =
      bit_cast<std::uint64_t>(high + low) + (PowerOfTwo(0) - kRootHalf);
  const double exponent =
      bit_cast<double>((shifted >> 52) | PowerOfTwo(52)) - (0x1p52 + 1023);
  const double scale =
      bit_cast<double>(2 * PowerOfTwo(0) - (shifted & kExponent));
  // From the halves and not from u, which is rounded: next to 1, -log u is all
  // in the bits that rounding would take.
  const double f = (high * scale - 1) + low * scale;
  return {f / (2 + f), exponent};
}

// -2 log u
[[gnu::always_inline]] inline double SquaredRadius(const Split& u) {
  const double z = u.quotient * u.quotient;
  double p = -0x1.2f0563a3463b8p-2;
  p = p * z - 0x1.39a1bab4eae1cp-2;
  p = p * z - 0x1.74663ee87dfbbp-2;
  p = p * z - 0x1.c71c52095d018p-2;
  p = p * z - 0x1.24924941f124ap-1;
  p = p * z - 0x1.999999997fdb7p-1;
  p = p * z - 0x1.5555555555592p+0;
  p = p * z - 4;
  return u.exponent * (-2 * std::numbers::ln2) + u.quotient * p;
}

struct Point {
  double x;
  double y;
};

// On the circle of radius * scale. Bits 1 to 51 choose an angle within an
// eighth of a turn of the x axis, bit 63 mirrors it at the diagonal and bit 62
// at the origin.
[[gnu::always_inline]] inline Point OnCircle(double radius, double scale,
                                             std::uint64_t word) {
  // In quarter turns, an odd multiple of 2^-52: the grid is its own mirror
  // image, so that the four arcs make up one even grid.
  const double t =
      bit_cast<double>((word & kFraction) | PowerOfTwo(0) | 1) - 1.5;
  const double z = t * t;
  double s = 0x1.e3eed5cea8451p-25;
  s = s * z - 0x1.e30063a02ae97p-19;
  s = s * z + 0x1.50782fca38bb2p-13;
  s = s * z - 0x1.32d2cce2d5361p-8;
  s = s * z + 0x1.466bc67758700p-4;
  s = s * z - 0x1.4abbce625be41p-1;
  s = s * z + 0x1.921fb54442d18p+0;
  s *= t;
  double c = -0x1.b263c345460dbp-28;
  c = c * z + 0x1.f9cc40ac95802p-22;
  c = c * z - 0x1.a6d1ec7e0b63bp-16;
  c = c * z + 0x1.e1f5068367b1cp-11;
  c = c * z - 0x1.55d3c7e3c9280p-6;
  c = c * z + 0x1.03c1f081b5aaep-2;
  c = c * z - 0x1.3bd3cc9be45dep+0;
  c = c * z + 1;
  const bool opposite = static_cast<std::int64_t>(word << 1) < 0;
  const bool mirrored = static_cast<std::int64_t>(word) < 0;
  const double r = radius * (opposite ? -scale : scale);
  return {r * (mirrored ? s : c), r * (mirrored ? c : s)};
}

// Two loops over a few pairs, and a third for the angle: in one, the chain from
// a word to its normals is longer than a processor looks ahead.
[[gnu::always_inline]] inline void SquareRadii(const std::uint64_t* words,
                                               std::size_t count,
                                               BoxMullerScratch& scratch) {
  for (std::size_t i = 0; i < count; ++i) {
    const Split u = SplitUniform(words[i]);
    scratch.quotients[i] = u.quotient;
    scratch.exponents[i] = u.exponent;
  }
  for (std::size_t i = 0; i < count; ++i)
    scratch.quotients[i] =
        SquaredRadius({scratch.quotients[i], scratch.exponents[i]});
}

HEARSAY_VECTOR_CLONES
void Transform(const std::uint64_t* radius_words,
               const std::uint64_t* angle_words, std::size_t count,
               double* __restrict x, double* __restrict y,
               BoxMullerScratch& __restrict scratch) {
  SquareRadii(radius_words, count, scratch);
  for (std::size_t i = 0; i < count; ++i) {
    const Point point =
        OnCircle(std::sqrt(scratch.quotients[i]), 1.0, angle_words[i]);
    x[i] = point.x;
    y[i] = point.y;
  }
}

HEARSAY_VECTOR_CLONES
void Add(const std::uint64_t* radius_words, const std::uint64_t* angle_words,
         std::size_t count, double stddev, float* __restrict x,
         float* __restrict y, BoxMullerScratch& __restrict scratch) {
  SquareRadii(radius_words, count, scratch);
  for (std::size_t i = 0; i < count; ++i) {
    const Point point =
        OnCircle(std::sqrt(scratch.quotients[i]), stddev, angle_words[i]);
    x[i] = static_cast<float>(x[i] + point.x);
    y[i] = static_cast<float>(y[i] + point.y);
  }
}

}  // namespace

void BoxMuller(std::span<const std::uint64_t> words, std::span<double> normals,
               BoxMullerScratch& scratch) {
  assert(words.size() == normals.size() && words.size() % 2 == 0 &&
         words.size() <= 2 * kBoxMullerPairs);
  const std::size_t pairs = words.size() / 2;
  for (std::size_t i = 0; i < pairs; i += kBlock)
    Transform(words.data() + i, words.data() + pairs + i,
              std::min(kBlock, pairs - i), normals.data() + i,
              normals.data() + pairs + i, scratch);
}

void AddBoxMuller(std::span<const std::uint64_t> words, double stddev,
                  std::span<float> sum, BoxMullerScratch& scratch) {
  assert(words.size() == sum.size() + sum.size() % 2 &&
         words.size() <= 2 * kBoxMullerPairs);
  const std::size_t pairs = words.size() / 2;
  const std::size_t whole = sum.size() - pairs;
  for (std::size_t i = 0; i < whole; i += kBlock)
    Add(words.data() + i, words.data() + pairs + i, std::min(kBlock, whole - i),
        stddev, sum.data() + i, sum.data() + pairs + i, scratch);
  if (whole < pairs) {
    scratch.dropped = 0;
    Add(words.data() + whole, words.data() + pairs + whole, 1, stddev,
        sum.data() + whole, &scratch.dropped, scratch);
  }
}

}  // namespace hearsay::dp
