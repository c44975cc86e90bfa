// The header in front of every piece of an array on the data plane: pure
// encode, decode and bounds, so that it can be fuzzed without a socket.
//
// Nothing in a header is believed before DecodeChunk and then CheckBounds have
// accepted it. The checksums are against accidents (a torn or flipped
// message); what is against an attacker is sealed (seal/seal.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace hearsay::transport {

enum class ChunkKind : std::uint8_t {
  kRequest = 1,
  kAnswer = 2,
  kRound = 3  // of a collective (round_pieces.h), complete in itself
};

using Tag = std::array<std::byte, 16>;

struct ChunkHeader {
  ChunkKind kind = ChunkKind::kRequest;
  bool sealed = false;
  std::uint64_t token = 0;     // given by the receiver to this sender
  std::uint64_t exchange = 0;  // chosen by the asker, increasing; or the round
  std::uint64_t version = 0;   // of the array; or the tag within the round
  std::uint64_t total = 0;     // bytes of the whole array; 0 = it carries none
  std::uint64_t offset = 0;
  std::uint32_t length = 0;       // of this piece
  std::uint32_t deadline_ms = 0;  // of a request: what is left of it
  std::uint32_t epoch = 0;        // of the key, if sealed
  std::uint64_t counter = 0;      // of the session's pieces, if sealed
  Tag check{};                    // of the piece: its tag, or Checksum()
  Tag proof{};                    // of the header up to here, if sealed

  bool operator==(const ChunkHeader&) const = default;
};

// Bytes on the wire, all integers little-endian, a checksum of the rest last.
inline constexpr std::size_t kChunkHeaderBytes = 112;
// The first of them: what the tag of a piece covers beside the piece; what the
// proof covers.
inline constexpr std::size_t kCheckedBytes = 72;
inline constexpr std::size_t kProvenBytes = 88;
// Pieces larger than this are nobody's; also bounds the bookkeeping of an
// assembly (one bit a piece) from the other end.
inline constexpr std::uint64_t kMaxChunkBytes = std::uint64_t{64} << 20;
inline constexpr std::uint64_t kMaxChunks = std::uint64_t{1} << 20;

using EncodedChunk = std::array<std::byte, kChunkHeaderBytes>;

EncodedChunk EncodeChunk(const ChunkHeader& header);

// Nothing unless `bytes` is exactly one header of this protocol with a correct
// header checksum.
std::optional<ChunkHeader> DecodeChunk(std::span<const std::byte> bytes);

// True if the piece lies where a sender that cuts arrays of `array_bytes` into
// pieces of `chunk_bytes` would put one, and `received` bytes came with it. Of
// a round: if it is no longer than `chunk_bytes`. Requires: chunk_bytes > 0.
bool CheckBounds(const ChunkHeader& header, std::size_t array_bytes,
                 std::size_t chunk_bytes, std::size_t received);

// XXH3-64.
std::uint64_t Checksum(std::span<const std::byte> bytes);
// The same, as the check of an open piece: low byte first, then zeros.
Tag ChecksumTag(std::span<const std::byte> bytes);

}  // namespace hearsay::transport
