// What the control plane tells the data plane about who may send.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "transport/control_messages.h"

namespace hearsay::transport {

// What the two ends of a TLS session, and nobody else, both know: exported
// keying material (RFC 8446, section 7.5). The data plane derives the keys of
// each direction from it.
struct EdgeSecret {
  std::array<std::byte, 32> bytes{};
  bool dialler = false;  // this end dialled: tells the two directions apart

  bool operator==(const EdgeSecret&) const = default;
};

// On what terms data flows between this node and another: one session's.
struct LaneTerms {
  std::uint64_t token = 0;      // in what it sends to us
  Grant grant;                  // for what we send to it
  std::size_t chunk_bytes = 0;  // that it cuts with
  // Nothing: the session is open (tls.mode = "off"), and so are its arrays.
  std::optional<EdgeSecret> secret;

  bool operator==(const LaneTerms&) const = default;
};

class DataLanes {
 public:
  // Keeps what is there if the terms are the same. Returns the UCX transports
  // in use, "" if UCX does not say.
  // Requires: chunk_bytes within the bounds of a Hello.
  virtual std::string Open(const std::string& node, const LaneTerms& terms) = 0;
  // Exchanges with it fail with kPeerGone and `reason`.
  virtual void Close(const std::string& node, const std::string& reason) = 0;

 protected:
  ~DataLanes() = default;
};

}  // namespace hearsay::transport
