// One incoming array, put together from its pieces.
//
// A piece is claimed (its place handed out, once) before its bytes arrive, and
// accepted when they have been verified; the array may be seen only when every
// piece has been.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "transport/buffer.h"
#include "transport/chunk.h"

namespace hearsay::transport {

class Assembly {
 public:
  // For the message that `first` belongs to, cut into `chunk_bytes` pieces.
  // Requires: CheckBounds accepted `first`; `payload` has first.total bytes, or
  // is null if that is 0.
  Assembly(const ChunkHeader& first, std::size_t chunk_bytes, Buffer payload);

  // Where the piece goes. Nothing if it contradicts the first piece, or its
  // place was handed out before.
  // Requires: CheckBounds accepted `piece`.
  std::optional<std::span<std::byte>> Claim(const ChunkHeader& piece);

  // The bytes of a piece are in place, and are what its sender sent.
  // Requires: Claim gave that place, and this is called for it once.
  void Accept();

  // Every place is handed out: what is missing is on its way.
  bool claimed() const { return unclaimed_ == 0; }
  bool complete() const { return missing_ == 0; }
  std::uint64_t exchange() const { return exchange_; }
  std::uint64_t version() const { return version_; }
  const Buffer& payload() const { return payload_; }

 private:
  const std::uint64_t exchange_;
  const std::uint64_t version_;
  const std::uint64_t total_;
  const std::size_t chunk_bytes_;
  Buffer payload_;
  std::vector<bool> claimed_;
  std::size_t unclaimed_;
  std::size_t missing_;
};

}  // namespace hearsay::transport
