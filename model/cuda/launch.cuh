// Launches whose next one may come early: its blocks wait on the device for
// what they need, instead of the host's order putting them there after it.
// Source: CUDA programming guide, programmatic dependent launch.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <type_traits>

#include "model/cuda/device.h"

namespace hearsay::model::cuda {

// In a kernel: the next one's blocks may come now, and wait.
__device__ inline void LetNextBegin() {
  cudaTriggerProgrammaticLaunchCompletion();
}
// What came before has ended, and what it wrote is there.
__device__ inline void AwaitPrevious() { cudaGridDependencySynchronize(); }

// `early`: the kernel awaits what came before, which is one kernel on this
// stream and nothing else.
template <typename... Parameters>
void Launch(cudaStream_t stream, bool early, dim3 grid, dim3 block,
            std::size_t shared, void (*kernel)(Parameters...),
            std::type_identity_t<Parameters>... arguments) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = early ? 1 : 0;
  Must(cudaLaunchKernelEx(&config, kernel, arguments...), "launch a kernel");
}

// Once, before launches that ask for more than 48 KiB.
template <typename Kernel>
void AllowShared(Kernel kernel, std::size_t bytes) {
  Must(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                            static_cast<int>(bytes)),
       "use its shared memory");
}

}  // namespace hearsay::model::cuda
