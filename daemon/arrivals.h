// Requests that become a difference while they arrive (ops/decisions/0018).
//
// Threads: the network thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/mixing/difference.h"
#include "transport/transport.h"

namespace hearsay::daemon {

// Kept by whoever hears of its pieces: it goes with them.
struct Arrival {
  std::string from;
  std::weak_ptr<transport::Buffer::element_type> payload;
  transport::Buffer mine;  // the snapshot it is held against
  std::uint64_t version = 0;
  bool ready = false;  // The snapshot is taken.
  std::shared_ptr<mixing::Difference> difference;
};

class Arrivals {
 public:
  // Is a request of `from` arriving? Of each peer there is one at a time: a
  // snapshot costs more than what begins a request.
  bool Has(const std::string& from);
  void Add(const std::shared_ptr<Arrival>& arrival);
  // Nothing if it is whole as it was sent.
  std::shared_ptr<Arrival> Of(const transport::Message& request) const;

 private:
  std::vector<std::weak_ptr<Arrival>> arrivals_;
};

// Makes what has come of a message into `difference`, piece by piece; keeps
// `mine`, which it is held against.
transport::OnPiece MadeOf(std::shared_ptr<mixing::Difference> difference,
                          transport::Buffer mine);

}  // namespace hearsay::daemon
