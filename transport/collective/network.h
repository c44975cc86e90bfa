// What a collective asks of the network between members, and what comes of it.
//
// The data plane and the control plane provide it (transport.cc); tests have
// one of their own, with the order and the losses they like.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "transport/control_messages.h"

namespace hearsay::transport::collective {

// Names a piece; opaque to the network.
struct RoundPiece {
  std::uint64_t round = 0;
  std::uint64_t tag = 0;
  std::uint64_t offset = 0;

  bool operator==(const RoundPiece&) const = default;
};

class Network {
 public:
  // `keep` owns `bytes` until the network has let go of them. `done` comes
  // once, never from within: false if `to` is not connected, or no longer.
  // Pieces may arrive in any order; arrived once, whole and verified, or not at
  // all.
  virtual void SendPiece(const std::string& to, const RoundPiece& piece,
                         std::span<const std::byte> bytes,
                         std::shared_ptr<void> keep,
                         std::function<void(bool sent)> done) = 0;
  // On the control connection. False if there is none.
  virtual bool Tell(const std::string& to, const RoundProposal& proposal) = 0;
  virtual bool Tell(const std::string& to, const RoundVerdict& verdict) = 0;
  // Calls it later, on the same thread.
  virtual void Post(std::function<void()> call) = 0;

 protected:
  ~Network() = default;
};

// What the network tells a collective.
class PieceSink {
 public:
  struct Place {
    std::span<std::byte> into;   // of exactly the announced length
    std::shared_ptr<void> keep;  // owns it
  };

  // A piece of `length` bytes is about to arrive: where it goes, or nothing, if
  // it is not wanted. `from` is who the network says it is. Must not send.
  virtual std::optional<Place> OnPiece(const std::string& from,
                                       const RoundPiece& piece,
                                       std::size_t length) = 0;
  // It has arrived, or could not be verified. May send.
  virtual void OnPlaced(const std::string& from, const RoundPiece& piece,
                        bool ok) = 0;

 protected:
  ~PieceSink() = default;
};

}  // namespace hearsay::transport::collective
