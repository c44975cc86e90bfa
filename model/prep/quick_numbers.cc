#include "model/prep/quick_numbers.h"

#include <bit>
#include <cmath>

#include "model/cpu/simd.h"

namespace hearsay::model::prep {

namespace {

HEARSAY_VECTORISE std::uint64_t FindDigits(
    const std::uint64_t* __restrict words, const std::uint64_t* __restrict used,
    std::size_t size, std::uint64_t* __restrict points,
    std::uint64_t* __restrict refused, double* __restrict digits) {
  std::uint64_t any_point = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const QuickDigits read = ReadQuickDigits({words[i], used[i]});
    points[i] = read.point;
    refused[i] = read.refused;
    // 32 bits hold what is not refused, and vectors can convert them.
    digits[i] = static_cast<double>(
        static_cast<std::int32_t>(read.digits & 0x7fffffffULL));
    any_point |= read.point;
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
      divisors_[i] = QuickDigits{.point = points_[i]}.divisor();
  ScaleAll(digits_.data(), any_point != 0 ? divisors_.data() : nullptr, size,
           range, refused_.data(), scaled_.data());
}

}  // namespace hearsay::model::prep
