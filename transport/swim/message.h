// What the failure detectors of two members say to each other (see swim.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "transport/swim/record.h"

namespace hearsay::transport::swim {

struct Message {
  enum class Kind { kPing = 1, kAck, kPingRequest, kNack };
  Kind kind = Kind::kPing;
  std::uint64_t probe = 0;  // chosen by the one who asks; comes back
  std::string target;       // of a ping request
  std::vector<Record> updates;
  bool operator==(const Message&) const = default;
};

// Records that one message carries beside its own purpose.
inline constexpr std::size_t kMaxPiggyback = 12;

}  // namespace hearsay::transport::swim
