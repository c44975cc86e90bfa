// The one arithmetic of the transport: float32 sums of pieces, on the thread
// that has just received them, while they are in its cache.
#pragma once

#include <cstddef>
#include <span>

namespace hearsay::transport::collective {

// sum[i] = own[i] + received[i] as float32. `sum` may be `own`.
// Requires: three equal sizes, whole floats, aligned for them.
void Add(std::span<std::byte> sum, std::span<const std::byte> own,
         std::span<const std::byte> received);

}  // namespace hearsay::transport::collective
