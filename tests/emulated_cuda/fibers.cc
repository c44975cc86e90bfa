#include "tests/emulated_cuda/fibers.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulated_cuda {

namespace {

// Only what is touched takes memory.
constexpr std::size_t kStackBytes = std::size_t{256} << 10;

// Of the switch under way.
Fiber* from = nullptr;
Fiber* to = nullptr;

// The address sanitizer must know on which stack it is. These do nothing
// without it.
void Leave([[maybe_unused]] void** fake, [[maybe_unused]] const void* bottom,
           [[maybe_unused]] std::size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(fake, bottom, bytes);
#endif
}
void Arrive([[maybe_unused]] void* fake, [[maybe_unused]] const void** bottom,
            [[maybe_unused]] std::size_t* bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake, bottom, bytes);
#endif
}

}  // namespace

Fiber::Fiber(void (*main)()) : main_(main) {
  // The lowest page is out of bounds, so that an overflow is seen.
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  mapped_ = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped_ == MAP_FAILED || mprotect(mapped_, page, PROT_NONE) != 0)
    throw std::system_error(errno, std::generic_category(), "a fiber's stack");
  bottom_ = static_cast<std::byte*>(mapped_) + page;
  // Tops at different offsets, or all of them would lie in one set of the
  // cache.
  static std::size_t made = 0;
  constexpr std::size_t kLine = 64, kOffsets = 61;
  bytes_ = kStackBytes - page - made++ % kOffsets * kLine;
  getcontext(&context_);
  context_.uc_stack.ss_sp = const_cast<void*>(bottom_);
  context_.uc_stack.ss_size = bytes_;
  makecontext(&context_, &Fiber::Begin, 0);
}

Fiber::~Fiber() {
  if (mapped_ != nullptr) munmap(mapped_, kStackBytes);
}

void Fiber::Begin() {
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  Arrive(nullptr, &bottom, &bytes);
  if (from->mapped_ == nullptr) {
    from->bottom_ = bottom;
    from->bytes_ = bytes;
  }
  to->main_();
}

// The builtins save no more than the frame and the place, and their callers the
// rest; the functions of the same name would save signal masks, which are calls
// of the system, or be taken for the end of a scope by the sanitizer.
[[gnu::noinline, gnu::no_sanitize("address", "undefined")]] void Fiber::Jump() {
  __builtin_longjmp(place_, 1);
}

[[gnu::noinline, gnu::no_sanitize("address", "undefined")]] void
Fiber::SwitchTo(Fiber& other) {
  void* fake = nullptr;
  from = this;
  to = &other;
  begun_ = true;
  Leave(&fake, other.bottom_, other.bytes_);
  if (__builtin_setjmp(place_) == 0) {
    if (other.begun_) other.Jump();
    setcontext(&other.context_);
  }
  Arrive(fake, nullptr, nullptr);
}

}  // namespace emulated_cuda
