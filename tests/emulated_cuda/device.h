// CUDA C++ for a compiler of C++: included before everything else of a file
// whose kernels the emulation runs.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <source_location>
#include <type_traits>

#include "tests/emulated_cuda/grid.h"

// The headers' own words are empty for a compiler that is not CUDA's. What is
// shared lies together, so that it can be poisoned before each block.
#undef __shared__
#define __shared__ static __attribute__((section("emulated_shared")))

#define threadIdx (::emulated_cuda::current->index)
#define blockIdx (::emulated_cuda::block_index)
#define blockDim (::emulated_cuda::running.block)
#define gridDim (::emulated_cuda::running.grid)

using std::isfinite;
using std::isnan;
using std::max;
using std::min;

inline void __syncthreads(
    std::source_location where = std::source_location::current()) {
  emulated_cuda::SyncBlock(where);
}
inline void __threadfence() {}

namespace emulated_cuda {

constexpr unsigned kAllLanes = 0xffffffffU;

inline void NeedAllLanes(unsigned mask) {
  if (mask != kAllLanes) Fail("a part of a warp is not emulated");
}

template <typename T>
struct Shuffled {
  T value;
  int from;  // a lane, or beyond
  T got;
};

template <typename T>
T Shuffle(unsigned mask, T value, int from) {
  NeedAllLanes(mask);
  Shuffled<T> own{value, from, value};
  InWarp("a shuffle", &own, [](const Lanes& lanes) {
    for (void* const lane : lanes) {
      auto& to = *static_cast<Shuffled<T>*>(lane);
      if (to.from < 0 || to.from >= kWarp) continue;  // It keeps its own.
      to.got = static_cast<const Shuffled<T>*>(
                   lanes[static_cast<std::size_t>(to.from)])
                   ->value;
    }
  });
  return own.got;
}

struct Vote {
  bool own, any, all;
};
inline Vote Ask(unsigned mask, bool own) {
  NeedAllLanes(mask);
  Vote vote{own, false, true};
  InWarp("a vote", &vote, [](const Lanes& lanes) {
    bool any = false, all = true;
    for (const void* const lane : lanes) {
      any = any || static_cast<const Vote*>(lane)->own;
      all = all && static_cast<const Vote*>(lane)->own;
    }
    for (void* const lane : lanes) {
      static_cast<Vote*>(lane)->any = any;
      static_cast<Vote*>(lane)->all = all;
    }
  });
  return vote;
}

template <typename T>
void NeedAligned(const T* at) {
  if (reinterpret_cast<std::uintptr_t>(at) % sizeof(T) != 0)
    Fail("an atomic operation is not aligned");
}

}  // namespace emulated_cuda

inline void __syncwarp() {
  emulated_cuda::InWarp("__syncwarp", nullptr,
                        [](const emulated_cuda::Lanes&) {});
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int from) {
  return emulated_cuda::Shuffle(mask, value, from % emulated_cuda::kWarp);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, int by) {
  return emulated_cuda::Shuffle(mask, value, emulated_cuda::current->lane + by);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int by) {
  return emulated_cuda::Shuffle(mask, value, emulated_cuda::current->lane ^ by);
}
inline int __any_sync(unsigned mask, bool own) {
  return emulated_cuda::Ask(mask, own).any ? 1 : 0;
}
inline int __all_sync(unsigned mask, bool own) {
  return emulated_cuda::Ask(mask, own).all ? 1 : 0;
}

template <typename T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  emulated_cuda::NeedAligned(at);
  const T old = *at;
  *at = old + value;
  return old;
}
inline unsigned atomicInc(unsigned* at, unsigned last) {
  emulated_cuda::NeedAligned(at);
  const unsigned old = *at;
  *at = old >= last ? 0 : old + 1;
  return old;
}

template <typename T>
T __ldg(const T* at) {
  return *at;
}
template <typename T>
T __ldcg(const T* at) {
  return *at;
}

// On their own, so that nothing is contracted with them.
inline float __fmul_rn(float a, float b) {
  const volatile float product = a * b;
  return product;
}
inline double __dmul_rn(double a, double b) {
  const volatile double product = a * b;
  return product;
}
// What does not fit is the nearest that does, and NaN 0.
inline int __double2int_rz(double value) {
  constexpr int kLeast = std::numeric_limits<int>::min();
  constexpr int kMost = std::numeric_limits<int>::max();
  if (std::isnan(value)) return 0;
  if (value >= kMost) return kMost;
  return value <= kLeast ? kLeast : static_cast<int>(value);
}
