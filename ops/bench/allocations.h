// How often this thread has asked for memory: a step must not.
#pragma once

#include <cstdint>
#include <optional>

namespace hearsay::ops {

// Calls of operator new on this thread so far, of any form; nothing in a build
// with a sanitizer, whose allocator is its own.
std::optional<std::uint64_t> Allocations();

}  // namespace hearsay::ops
