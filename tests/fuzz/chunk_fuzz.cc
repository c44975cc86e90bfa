// The data plane's header, and an array put together from pieces that a liar
// chose: nothing outside the array is touched, nothing is counted twice.
#include <cstring>
#include <optional>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "transport/assembly.h"
#include "transport/chunk.h"

namespace hearsay::transport {
namespace {

using fuzz::Check;

constexpr std::size_t kMostArrayBytes = 512;

// Everything about it that the bytes on the wire say, twice: as they are, and
// with the header's own checksum mended, which a random input never has right.
std::optional<ChunkHeader> Decode(std::string bytes) {
  auto header = DecodeChunk(fuzz::BytesOf(bytes));
  if (!header && bytes.size() == kChunkHeaderBytes) {
    const auto summed =
        Checksum(fuzz::BytesOf(bytes).first(kChunkHeaderBytes - 8));
    for (std::size_t i = 0; i < 8; ++i)
      bytes[kChunkHeaderBytes - 8 + i] = static_cast<char>(summed >> (8 * i));
    header = DecodeChunk(fuzz::BytesOf(bytes));
  }
  if (!header) return std::nullopt;
  const auto again = EncodeChunk(*header);
  Check(std::memcmp(again.data(), bytes.data(), again.size()) == 0);
  return header;
}

// One array's pieces come in, in an order and with contents of the input's.
class Receiver {
 public:
  Receiver(std::size_t array_bytes, std::size_t chunk_bytes)
      : array_bytes_(array_bytes), chunk_bytes_(chunk_bytes) {}

  void Take(const ChunkHeader& header, std::size_t received,
            std::uint8_t filling) {
    if (!CheckBounds(header, array_bytes_, chunk_bytes_, received)) return;
    if (header.kind == ChunkKind::kRound) {  // A whole of its own.
      Check(received <= chunk_bytes_ && header.total == received);
      return;
    }
    Check(received <= chunk_bytes_ && header.offset <= array_bytes_);
    Check(received <= array_bytes_ - header.offset);
    if (!assembly_) {
      if (header.total > 0) {
        storage_.assign(array_bytes_, std::byte{0});
        payload_ = std::make_shared<std::span<std::byte>>(storage_);
      }
      assembly_.emplace(header, chunk_bytes_, payload_);
    }
    const auto place = assembly_->Claim(header);
    if (!place) return;
    Check(place->size() == header.length);
    Check(place->empty() || place->data() == storage_.data() + header.offset);
    Check(std::find(taken_.begin(), taken_.end(), header.offset) ==
          taken_.end());
    taken_.push_back(header.offset);
    std::fill(place->begin(), place->end(), std::byte{filling});
    const bool honest = ChecksumTag(*place) == header.check;
    if (honest) {
      assembly_->Accept();
      ++verified_;
    }
    const std::size_t pieces =
        header.total == 0 ? 1
                          : (array_bytes_ + chunk_bytes_ - 1) / chunk_bytes_;
    Check(taken_.size() <= pieces);
    Check(assembly_->claimed() == (taken_.size() == pieces));
    Check(assembly_->complete() == (verified_ == pieces));
  }

 private:
  const std::size_t array_bytes_;
  const std::size_t chunk_bytes_;
  std::vector<std::byte> storage_;
  Buffer payload_;
  std::optional<Assembly> assembly_;
  std::vector<std::uint64_t> taken_;
  std::size_t verified_ = 0;
};

// A piece near enough to a true one that all of the checks are reached.
ChunkHeader Near(fuzz::Input& input, std::size_t array_bytes,
                 std::size_t chunk_bytes) {
  ChunkHeader header;
  const std::uint8_t lie = input.Take();
  header.exchange = (lie & 1) != 0 ? input.Take() : 7;
  header.version = (lie & 2) != 0 ? input.Take() : 9;
  header.total = (lie & 4) != 0 ? input.Take<std::uint64_t>() : array_bytes;
  header.offset = (lie & 8) != 0 ? input.Take<std::uint64_t>()
                                 : input.Take() % 16 * chunk_bytes;
  const std::uint64_t left =
      header.offset < array_bytes ? array_bytes - header.offset : 0;
  header.length = static_cast<std::uint32_t>(
      (lie & 16) != 0 ? input.Take<std::uint32_t>()
                      : std::min<std::uint64_t>(left, chunk_bytes));
  return header;
}

}  // namespace
}  // namespace hearsay::transport

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace hearsay::transport;  // NOLINT(google-build-using-namespace)
  hearsay::fuzz::Input input(data, size);
  const std::size_t array_bytes =
      1 + input.Take<std::uint16_t>() % kMostArrayBytes;
  const std::size_t chunk_bytes =
      1 + input.Take<std::uint16_t>() % kMostArrayBytes;
  Receiver receiver(array_bytes, chunk_bytes);
  while (!input.empty()) {
    const std::uint8_t how = input.Take();
    if (how == 0) {
      const auto header = Decode(input.Text(kChunkHeaderBytes));
      if (header) receiver.Take(*header, header->length, input.Take());
      continue;
    }
    ChunkHeader header = Near(input, array_bytes, chunk_bytes);
    const std::uint8_t filling = input.Take();
    const std::vector<std::byte> content(
        std::min<std::size_t>(header.length, kMostArrayBytes),
        std::byte{filling});
    header.check = ChecksumTag(content);
    if (how % 8 == 1) header.check[0] ^= std::byte{input.Take()};
    hearsay::fuzz::Check(DecodeChunk(EncodeChunk(header)) == header);
    receiver.Take(header, how % 8 == 2 ? input.Take() : header.length, filling);
  }
  return 0;
}
