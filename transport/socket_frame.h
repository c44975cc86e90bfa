// What stands on a data socket: a greeting once, then messages, each a prefix
// of 8 bytes (lengths, little-endian), a header and a payload. One direction a
// socket: only the end that dialled sends.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace hearsay::transport {

// Its first byte is none that a TLS connection begins with (22), so that both
// may come to one port.
inline constexpr std::array<std::byte, 8> kSocketGreeting = {
    std::byte{'H'}, std::byte{'R'}, std::byte{'S'}, std::byte{'Y'},
    std::byte{'D'}, std::byte{'A'}, std::byte{'T'}, std::byte{'1'}};

struct SocketPrefix {
  std::uint32_t header_bytes = 0;
  std::uint32_t payload_bytes = 0;
};

inline constexpr std::size_t kSocketPrefixBytes = 8;

std::array<std::byte, kSocketPrefixBytes> EncodePrefix(SocketPrefix prefix);

// Nothing if a length is beyond what a message may have.
// Requires: kSocketPrefixBytes bytes.
std::optional<SocketPrefix> DecodePrefix(std::span<const std::byte> bytes);

}  // namespace hearsay::transport
