#include "transport/chunk.h"

#ifdef __x86_64__
#include <xxh_x86dispatch.h>  // XXH3 as wide as this processor can.
#else
#include <xxhash.h>
#endif

#include <algorithm>
#include <type_traits>

namespace hearsay::transport {
namespace {

constexpr std::uint32_t kMagic = 0x59535248;  // "HRSY"
constexpr std::uint16_t kLayout = 2;

// Appends and takes integers, least significant byte first, whatever the host.
class Writer {
 public:
  explicit Writer(std::span<std::byte> into) : into_(into) {}
  template <typename T>
  void Put(T value) {
    static_assert(std::is_unsigned_v<T>);
    for (std::size_t i = 0; i < sizeof(T); ++i)
      into_[at_++] = static_cast<std::byte>((value >> (8 * i)) & 0xff);
  }
  void Put(const Tag& tag) {
    std::copy(tag.begin(), tag.end(), into_.subspan(at_).begin());
    at_ += tag.size();
  }

 private:
  std::span<std::byte> into_;
  std::size_t at_ = 0;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> from) : from_(from) {}
  template <typename T>
  T Take() {
    static_assert(std::is_unsigned_v<T>);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
      value |= std::to_integer<std::uint64_t>(from_[at_++]) << (8 * i);
    return static_cast<T>(value);
  }
  Tag TakeTag() {
    Tag tag;
    std::copy_n(from_.subspan(at_).begin(), tag.size(), tag.begin());
    at_ += tag.size();
    return tag;
  }

 private:
  std::span<const std::byte> from_;
  std::size_t at_ = 0;
};

constexpr std::size_t kSummedBytes = kChunkHeaderBytes - sizeof(std::uint64_t);

}  // namespace

std::uint64_t Checksum(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

Tag ChecksumTag(std::span<const std::byte> bytes) {
  Tag tag{};
  Writer(tag).Put(Checksum(bytes));
  return tag;
}

EncodedChunk EncodeChunk(const ChunkHeader& header) {
  EncodedChunk bytes{};
  Writer writer(bytes);
  writer.Put(kMagic);
  writer.Put(kLayout);
  writer.Put(static_cast<std::uint8_t>(header.kind));
  writer.Put(static_cast<std::uint8_t>(header.sealed));
  writer.Put(header.token);
  writer.Put(header.exchange);
  writer.Put(header.version);
  writer.Put(header.total);
  writer.Put(header.offset);
  writer.Put(header.length);
  writer.Put(header.deadline_ms);
  writer.Put(header.epoch);
  writer.Put(std::uint32_t{0});
  writer.Put(header.counter);
  writer.Put(header.check);
  writer.Put(header.proof);
  writer.Put(Checksum(std::span(bytes).first(kSummedBytes)));
  return bytes;
}

std::optional<ChunkHeader> DecodeChunk(std::span<const std::byte> bytes) {
  if (bytes.size() != kChunkHeaderBytes) return std::nullopt;
  Reader reader(bytes);
  if (reader.Take<std::uint32_t>() != kMagic) return std::nullopt;
  if (reader.Take<std::uint16_t>() != kLayout) return std::nullopt;
  const auto kind = reader.Take<std::uint8_t>();
  if (kind < static_cast<std::uint8_t>(ChunkKind::kRequest) ||
      kind > static_cast<std::uint8_t>(ChunkKind::kRound))
    return std::nullopt;
  const auto sealed = reader.Take<std::uint8_t>();
  if (sealed > 1) return std::nullopt;
  ChunkHeader header;
  header.kind = static_cast<ChunkKind>(kind);
  header.sealed = sealed == 1;
  header.token = reader.Take<std::uint64_t>();
  header.exchange = reader.Take<std::uint64_t>();
  header.version = reader.Take<std::uint64_t>();
  header.total = reader.Take<std::uint64_t>();
  header.offset = reader.Take<std::uint64_t>();
  header.length = reader.Take<std::uint32_t>();
  header.deadline_ms = reader.Take<std::uint32_t>();
  header.epoch = reader.Take<std::uint32_t>();
  if (reader.Take<std::uint32_t>() != 0) return std::nullopt;
  header.counter = reader.Take<std::uint64_t>();
  header.check = reader.TakeTag();
  header.proof = reader.TakeTag();
  if (reader.Take<std::uint64_t>() != Checksum(bytes.first(kSummedBytes)))
    return std::nullopt;
  return header;
}

bool CheckBounds(const ChunkHeader& header, std::size_t array_bytes,
                 std::size_t chunk_bytes, std::size_t received) {
  if (header.length != received) return false;
  if (header.kind == ChunkKind::kRound)
    return header.total == header.length && header.length <= chunk_bytes;
  if (header.total == 0) return header.offset == 0 && header.length == 0;
  if (header.total != array_bytes) return false;
  if (header.offset >= header.total) return false;
  if (header.offset % chunk_bytes != 0) return false;
  return header.length ==
         std::min<std::uint64_t>(chunk_bytes, header.total - header.offset);
}

}  // namespace hearsay::transport
