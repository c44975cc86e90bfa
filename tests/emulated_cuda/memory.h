// Memory of the emulated device: of the heap, and no larger than asked for, so
// that the address sanitizer sees what is out of bounds.
#pragma once

#include <cstddef>

namespace emulated_cuda {

// More is refused before it is allocated.
inline constexpr std::size_t kDeviceBytes = std::size_t{1} << 30;

// Whether all of it lies in one allocation of the device, or in one of the
// host's that are pinned.
bool IsOnDevice(const void* at, std::size_t bytes);
bool IsPinned(const void* at, std::size_t bytes);

}  // namespace emulated_cuda
