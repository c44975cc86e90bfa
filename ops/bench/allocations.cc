// The program's own operator new, which counts. Others ([], nothrow) end here
// too: the standard says that they call these.
#include "ops/bench/allocations.h"

#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

namespace hearsay::ops {
std::optional<std::uint64_t> Allocations() { return std::nullopt; }
}  // namespace hearsay::ops

#else

namespace {

thread_local std::uint64_t count = 0;

void* OrThrow(void* memory) {
  ++count;
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) {
  return OrThrow(std::malloc(bytes > 0 ? bytes : 1));
}

void* operator new(std::size_t bytes, std::align_val_t alignment) {
  const auto unit = static_cast<std::size_t>(alignment);
  const std::size_t whole = (bytes + unit - 1) / unit * unit;
  return OrThrow(std::aligned_alloc(unit, whole > 0 ? whole : unit));
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace hearsay::ops {
std::optional<std::uint64_t> Allocations() { return count; }
}  // namespace hearsay::ops

#endif
