// The messages of a group, in the three numbers that the network carries.
#pragma once

#include <cstdint>
#include <optional>

#include "transport/collective/network.h"

namespace hearsay::transport::collective {

struct Header {
  enum class Kind : std::uint8_t {
    kPiece = 1,  // detail: step; offset: bytes from the start of the array
    kCredit,     // offset: pieces used up since the round began
    kNote        // detail: a Note; offset: whom it is about
  };
  std::uint32_t sequence = 0;  // of the round, in its group
  Kind kind = Kind::kPiece;
  std::uint32_t detail = 0;  // 24 bits
  std::uint64_t offset = 0;

  bool operator==(const Header&) const = default;
};

inline RoundPiece Encode(std::uint64_t group, const Header& header) {
  return {.round = group,
          .tag = std::uint64_t{header.sequence} << 32 |
                 std::uint64_t{static_cast<std::uint8_t>(header.kind)} << 24 |
                 (header.detail & 0xffffff),
          .offset = header.offset};
}

// Nothing if there is no such kind.
inline std::optional<Header> Decode(const RoundPiece& piece) {
  const auto kind = static_cast<std::uint8_t>(piece.tag >> 24);
  if (kind < static_cast<std::uint8_t>(Header::Kind::kPiece) ||
      kind > static_cast<std::uint8_t>(Header::Kind::kNote))
    return std::nullopt;
  return Header{.sequence = static_cast<std::uint32_t>(piece.tag >> 32),
                .kind = static_cast<Header::Kind>(kind),
                .detail = static_cast<std::uint32_t>(piece.tag & 0xffffff),
                .offset = piece.offset};
}

}  // namespace hearsay::transport::collective
