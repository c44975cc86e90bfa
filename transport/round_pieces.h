// What the data plane does for collectives: single pieces between members that
// mean nothing to it, checked (and sealed) like everything else.
//
// Threads: all on the thread that runs `io`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace hearsay::transport {

// Names a piece; opaque here.
struct RoundPiece {
  std::uint64_t round = 0;
  std::uint64_t tag = 0;
  std::uint64_t offset = 0;

  bool operator==(const RoundPiece&) const = default;
};

// Who takes the pieces that arrive.
class PieceSink {
 public:
  struct Place {
    std::span<std::byte> into;   // of exactly the announced length
    std::shared_ptr<void> keep;  // owns it
  };

  // A piece of `length` bytes is about to arrive: where it goes, or nothing, if
  // it is not wanted. `from` is who the lane says it is. Must not send.
  virtual std::optional<Place> OnPiece(const std::string& from,
                                       const RoundPiece& piece,
                                       std::size_t length) = 0;
  // It has arrived, or could not be verified: then its place holds noise. Not
  // called if the lane was closed in between. May send.
  virtual void OnPlaced(const std::string& from, const RoundPiece& piece,
                        bool ok) = 0;

 protected:
  ~PieceSink() = default;
};

// The sending half.
class PieceLanes {
 public:
  // `keep` owns `bytes` until the wire has let go of them. `done` comes once,
  // never from within: true when they have been read and may change, false if
  // `to` is not connected, or no longer. Pieces may arrive in any order; once
  // and whole, or not at all.
  // Throws: std::invalid_argument for more than options.chunk_bytes.
  virtual void SendPiece(const std::string& to, const RoundPiece& piece,
                         std::span<const std::byte> bytes,
                         std::shared_ptr<void> keep,
                         std::function<void(bool sent)> done) = 0;

 protected:
  ~PieceLanes() = default;
};

}  // namespace hearsay::transport
