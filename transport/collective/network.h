// What a collective asks of the network between members. What comes of it is
// told to LiveCollectives.
//
// The data plane and the control plane provide it (collective_network.h); tests
// have one of their own, with the order and the losses they like.
#pragma once

#include <functional>

#include "transport/control_messages.h"
#include "transport/round_pieces.h"

namespace hearsay::transport::collective {

class Network : public PieceLanes {
 public:
  // On the control connection. False if there is none.
  virtual bool Tell(const std::string& to, const RoundMessage& message) = 0;
  // Calls it later, on the same thread.
  virtual void Post(std::function<void()> call) = 0;
  // From now on, and while LiveCollectives is busy, OnTime is to be called.
  virtual void StartClock() = 0;

 protected:
  ~Network() = default;
};

}  // namespace hearsay::transport::collective
