// What the control plane tells the data plane about who may send.
#pragma once

#include <cstdint>
#include <string>

#include "transport/control_messages.h"

namespace hearsay::transport {

class DataLanes {
 public:
  // `node` may send with `token`, and can be reached by `grant`. Keeps what is
  // there if it has the same three. Returns the UCX transports in use, "" if
  // UCX does not say. Requires: chunk_bytes within the bounds of a Hello.
  virtual std::string Open(const std::string& node, std::uint64_t token,
                           const Grant& grant, std::size_t chunk_bytes) = 0;
  // Exchanges with it fail with kPeerGone and `reason`.
  virtual void Close(const std::string& node, const std::string& reason) = 0;

 protected:
  ~DataLanes() = default;
};

}  // namespace hearsay::transport
