#include "dp/vector_math.h"

#include <cmath>
#include <cstddef>

#include "dp/vector_clones.h"

// glibc declares its vector variants only under -ffast-math, which would let
// the compiler assume that nothing is infinite.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__clang__)
#define HEARSAY_HAS_LANES __attribute__((simd("notinbranch")))
extern "C" {
HEARSAY_HAS_LANES double log(double) noexcept;
HEARSAY_HAS_LANES double erfc(double) noexcept;
}
#undef HEARSAY_HAS_LANES
#endif

namespace hearsay::dp {

HEARSAY_VECTOR_CLONES
void TakeLogs(std::span<double> values) {
  double* const value = values.data();
  const std::size_t count = values.size();
#pragma omp simd
  for (std::size_t i = 0; i < count; ++i) value[i] = ::log(value[i]);
}

HEARSAY_VECTOR_CLONES
void TakeHalfErfcs(std::span<double> values) {
  double* const value = values.data();
  const std::size_t count = values.size();
#pragma omp simd
  for (std::size_t i = 0; i < count; ++i)
    value[i] = ::erfc(std::abs(value[i])) / 2;
}

}  // namespace hearsay::dp
