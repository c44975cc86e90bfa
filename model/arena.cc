#include "model/arena.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace hearsay::model {

namespace {
constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t RoundUp(std::size_t n, std::size_t unit) {
  return (n + unit - 1) / unit * unit;
}
}  // namespace

Arena::Arena(std::size_t size) : size_(size) {
  if (size == 0) return;
  const std::size_t bytes = size * sizeof(float);
  const std::size_t unit = bytes >= kHugePage ? kHugePage : kCacheLine;
  const std::size_t reserved = RoundUp(bytes, unit);
  void* memory = std::aligned_alloc(unit, reserved);
  if (memory == nullptr) throw std::bad_alloc();
  // Advice only: without huge pages the arena is slower to touch, not wrong.
  if (unit == kHugePage) madvise(memory, reserved, MADV_HUGEPAGE);
  std::memset(memory, 0, reserved);
  data_.reset(static_cast<float*>(memory));
}

void Arena::Free::operator()(float* data) const { std::free(data); }

}  // namespace hearsay::model
