// The arithmetic of a gossip step, for benchmarks.
#pragma once

#include <cstddef>

namespace hearsay::bench {

// `to` = (to + from) / 2, `count` floats.
void AverageInto(std::byte* to, const std::byte* from, std::size_t count);

}  // namespace hearsay::bench
