#include "tests/emulated_cuda/memory.h"

#include <cuda_runtime_api.h>

#include <cstdlib>
#include <cstring>
#include <map>

#include "tests/emulated_cuda/grid.h"
#include "tests/emulated_cuda/stream.h"

namespace emulated_cuda {

namespace {

using Allocations = std::map<const std::byte*, std::size_t>;  // to bytes
Allocations on_device, pinned;
std::size_t in_use = 0;  // bytes of the device

constexpr std::size_t kAlignment = 256;

bool LiesIn(const Allocations& allocations, const void* at, std::size_t bytes) {
  const auto* const from = static_cast<const std::byte*>(at);
  auto next = allocations.upper_bound(from);
  if (next == allocations.begin()) return false;
  --next;
  const auto offset = static_cast<std::size_t>(from - next->first);
  return offset <= next->second && bytes <= next->second - offset;
}

cudaError_t Allocate(void** at, std::size_t bytes, Allocations& allocations) {
  if (bytes == 0 || posix_memalign(at, kAlignment, bytes) != 0)
    return cudaErrorMemoryAllocation;
  std::memset(*at, kPoison, bytes);
  allocations[static_cast<std::byte*>(*at)] = bytes;
  return cudaSuccess;
}

// Gives how many bytes it was.
std::size_t Release(void* at, Allocations& allocations) {
  const auto found = allocations.find(static_cast<std::byte*>(at));
  if (found == allocations.end()) Fail("frees what it has not allocated");
  const std::size_t bytes = found->second;
  allocations.erase(found);
  std::free(at);
  return bytes;
}

}  // namespace

bool IsOnDevice(const void* at, std::size_t bytes) {
  return LiesIn(on_device, at, bytes);
}
bool IsPinned(const void* at, std::size_t bytes) {
  return LiesIn(pinned, at, bytes);
}

}  // namespace emulated_cuda

using namespace emulated_cuda;

cudaError_t cudaMalloc(void** at, std::size_t bytes) {
  if (Records()) return cudaErrorStreamCaptureUnsupported;
  if (bytes > kDeviceBytes - in_use) return cudaErrorMemoryAllocation;
  const auto error = Allocate(at, bytes, on_device);
  if (error == cudaSuccess) in_use += bytes;
  return error;
}

cudaError_t cudaMallocHost(void** at, std::size_t bytes) {
  if (Records()) return cudaErrorStreamCaptureUnsupported;
  return Allocate(at, bytes, pinned);
}

// These wait for the device, as there.
cudaError_t cudaFree(void* at) {
  if (at == nullptr) return cudaSuccess;
  if (const auto error = cudaDeviceSynchronize(); error != cudaSuccess)
    return error;
  in_use -= Release(at, on_device);
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* at) {
  if (at == nullptr) return cudaSuccess;
  if (const auto error = cudaDeviceSynchronize(); error != cudaSuccess)
    return error;
  Release(at, pinned);
  return cudaSuccess;
}
