#include "model/prep/quick_numbers.h"

#include <bit>
#include <cmath>

#include "model/cpu/simd.h"
#include "model/prep/quick_number.h"

namespace hearsay::model::prep {

namespace {

constexpr std::uint64_t kOnes = 0x0101010101010101ULL;

// As QuickNumber, step by step; nothing but shifts, masks and sums, which
// vectors of 64-bit lanes have on every processor that has vectors.
HEARSAY_VECTORISE std::uint64_t FindDigits(
    const std::uint64_t* __restrict words,
    const std::uint64_t* __restrict all_used, std::size_t size,
    std::uint64_t* __restrict all_points, std::uint64_t* __restrict all_refused,
    double* __restrict digits) {
  std::uint64_t any_point = 0;
  for (std::size_t i = 0; i < size; ++i) {
    std::uint64_t word = words[i];
    std::uint64_t used = all_used[i];
    const std::uint64_t other = word ^ (kOnes * '.');
    const std::uint64_t points =
        ~(((other & (kOnes * 0x7f)) + kOnes * 0x7f) | other) & (kOnes * 0x80);
    const std::uint64_t point = points & (~points + 1);
    const std::uint64_t below = (point >> 7) - 1;
    const std::uint64_t moved = (word & (~below << 8)) | ((word & below) << 8);
    word = points != 0 ? moved : word;
    used = points != 0 ? used << 8 : used;
    word = (word & used) | (kOnes * '0' & ~used);
    std::uint64_t refused =
        ((word + kOnes * 0x46) | (word - kOnes * '0')) & (kOnes * 0x80);
    refused = used == 0 ? 1 : refused;
    word -= kOnes * '0';
    word = (word << 3) + (word << 1) + (word >> 8);
    word &= 0x00ff00ff00ff00ffULL;
    word = (word << 6) + (word << 5) + (word << 2) + (word >> 16);
    word &= 0x0000ffff0000ffffULL;
    const std::uint64_t high = word & 0xffffffffULL;
    word = (high << 13) + (high << 10) + (high << 9) + (high << 8) +
           (high << 4) + (word >> 32);
    all_points[i] = point;
    all_refused[i] = refused;
    // Below 10^8 where it is taken; made so where it is not.
    digits[i] =
        static_cast<double>(static_cast<std::int32_t>(word & 0x7fffffffULL));
    any_point |= points;
  }
  return any_point;
}

HEARSAY_VECTORISE void ScaleAll(double* numbers, const double* divisors,
                                std::size_t size,
                                const QuickNumbers::Range& range,
                                std::uint64_t* refused, float* scaled) {
  const double minimum = range.minimum;
  const double maximum = range.maximum;
  if (divisors != nullptr)
    for (std::size_t i = 0; i < size; ++i) numbers[i] /= divisors[i];
  if (range.whole && divisors != nullptr)
    for (std::size_t i = 0; i < size; ++i)
      refused[i] |= numbers[i] == std::floor(numbers[i]) ? 0 : 1;
  for (std::size_t i = 0; i < size; ++i)
    scaled[i] = ScaledNumber(numbers[i], minimum, maximum);
}

}  // namespace

void QuickNumbers::Scale(std::size_t size, const Range& range) {
  if constexpr (std::endian::native != std::endian::little) {
    refused_.fill(1);
    return;
  }
  const std::uint64_t any_point =
      FindDigits(words_.data(), used_.data(), size, points_.data(),
                 refused_.data(), digits_.data());
  if (any_point != 0)
    for (std::size_t i = 0; i < size; ++i)
      // As many digits stand behind the point as bytes above it.
      divisors_[i] = points_[i] == 0
                         ? 1
                         : kPowersOfTen[7 - static_cast<std::size_t>(
                                                std::countr_zero(points_[i])) /
                                                8];
  ScaleAll(digits_.data(), any_point != 0 ? divisors_.data() : nullptr, size,
           range, refused_.data(), scaled_.data());
}

}  // namespace hearsay::model::prep
