// In the place of the module's file of this name: launches that the emulation
// runs.
#pragma once

#include <source_location>
#include <tuple>
#include <type_traits>

#include "model/cuda/device.h"
#include "tests/emulated_cuda/stream.h"

namespace hearsay::model::cuda {

inline void LetNextBegin() {}
inline void AwaitPrevious() { emulated_cuda::current->awaited = true; }

// Made where a launch is written, which is what there is to name it by.
struct Early {
  Early(bool is_early,
        std::source_location at = std::source_location::current())
      : early(is_early), where(at) {}
  bool early;
  std::source_location where;
};

template <typename... Parameters>
void Launch(cudaStream_t stream, Early early, dim3 grid, dim3 block,
            std::size_t shared, void (*kernel)(Parameters...),
            std::type_identity_t<Parameters>... arguments) {
  Must(emulated_cuda::EnqueueGrid(
           stream,
           {.grid = grid,
            .block = block,
            .shared = shared,
            .early = early.early,
            .where = early.where},
           reinterpret_cast<const void*>(kernel),
           [kernel, all = std::tuple<Parameters...>(arguments...)] {
             std::apply(kernel, all);
           }),
       "launch a kernel");
}

template <typename Kernel>
void AllowShared(Kernel kernel, std::size_t bytes) {
  Must(emulated_cuda::AllowShared(reinterpret_cast<const void*>(kernel), bytes),
       "use its shared memory");
}

}  // namespace hearsay::model::cuda
