#include "transport/socket_frame.h"

#include <cassert>

#include "transport/chunk.h"
#include "transport/wire.h"

namespace hearsay::transport {
namespace {

// A sealed piece is longer than its bytes by a tag.
constexpr std::uint64_t kMaxPayloadBytes = kMaxChunkBytes + 64;

void Put(std::uint32_t value, std::byte* at) {
  for (int i = 0; i < 4; ++i)
    at[i] = static_cast<std::byte>((value >> (8 * i)) & 0xff);
}

std::uint32_t Take(const std::byte* at) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i)
    value |= std::to_integer<std::uint32_t>(at[i]) << (8 * i);
  return value;
}

}  // namespace

std::array<std::byte, kSocketPrefixBytes> EncodePrefix(SocketPrefix prefix) {
  std::array<std::byte, kSocketPrefixBytes> bytes{};
  Put(prefix.header_bytes, bytes.data());
  Put(prefix.payload_bytes, bytes.data() + 4);
  return bytes;
}

std::optional<SocketPrefix> DecodePrefix(std::span<const std::byte> bytes) {
  assert(bytes.size() == kSocketPrefixBytes);
  const SocketPrefix prefix{.header_bytes = Take(bytes.data()),
                            .payload_bytes = Take(bytes.data() + 4)};
  if (prefix.header_bytes > kMaxWireHeaderBytes ||
      prefix.payload_bytes > kMaxPayloadBytes)
    return std::nullopt;
  return prefix;
}

}  // namespace hearsay::transport
