#include "transport/collective/sum.h"

#include <cassert>

namespace hearsay::transport::collective {

void Add(std::span<std::byte> sum, std::span<const std::byte> own,
         std::span<const std::byte> received) {
  assert(sum.size() == own.size() && sum.size() == received.size());
  assert(sum.size() % sizeof(float) == 0);
  auto* const out = reinterpret_cast<float*>(sum.data());
  const auto* const a = reinterpret_cast<const float*>(own.data());
  const auto* const b = reinterpret_cast<const float*>(received.data());
  const std::size_t count = sum.size() / sizeof(float);
#pragma omp \
    simd  // `out` may be `a`, element for element: no carried dependence
  for (std::size_t i = 0; i < count; ++i) out[i] = a[i] + b[i];
}

}  // namespace hearsay::transport::collective
