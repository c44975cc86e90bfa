// Streams, events and graphs. What is put on a stream waits there until
// somebody waits for it, and of several streams any may go first, as far as
// events let it: so what the host or another stream does too early is seen.
//
// Threads: one at a time.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>

#include "tests/emulated_cuda/grid.h"

namespace emulated_cuda {

using Work = std::function<void()>;

// On a stream, or into the graph that it records.
cudaError_t Enqueue(cudaStream_t stream, Work work);
// A kernel; checks first what a launch checks. `kernel` stands for it.
cudaError_t EnqueueGrid(cudaStream_t stream, const Configuration& configuration,
                        const void* kernel, Work body);
cudaError_t AllowShared(const void* kernel, std::size_t bytes);

// Whether a graph is being recorded: nothing may wait or allocate then.
bool Records();

}  // namespace emulated_cuda
