// Threads of control that take turns on one thread of the system: each runs
// until it switches to another. A switch is a jump, without a call of the
// system, for a product of one warp takes 32 of them.
#pragma once

#include <ucontext.h>

#include <cstddef>

namespace emulated_cuda {

class Fiber {
 public:
  // What runs already, on the stack that it has.
  Fiber() = default;
  // Runs `main` when it is first switched to, which must never return.
  explicit Fiber(void (*main)());
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Suspends this one, which must be the one that runs, until somebody switches
  // back to it.
  void SwitchTo(Fiber& other);

 private:
  static void Begin();
  void Jump();

  void (*main_)() = nullptr;
  ucontext_t context_{};  // for the first switch alone
  bool begun_ = false;
  void* place_[5] = {};
  // Of the stack; where this fiber was not made here, seen at its first switch.
  void* mapped_ = nullptr;
  const void* bottom_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace emulated_cuda
