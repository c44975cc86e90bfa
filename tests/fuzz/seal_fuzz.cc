// Sealed pieces that come altered, twice, out of order or not at all: the
// opener admits what was sealed, once, and nothing else.
#include <set>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "transport/seal/seal.h"

namespace hearsay::transport::seal {
namespace {

using fuzz::Check;

struct Piece {
  ChunkHeader header;
  std::vector<std::byte> bytes;
};

class Conversation {
 public:
  // A new piece, kept for later.
  void Seal(std::uint8_t filling, std::size_t bytes) {
    const std::vector<std::byte> clear(bytes, std::byte{filling});
    Piece piece{{}, std::vector<std::byte>(bytes)};
    piece.header.version = filling;
    piece.header.length = static_cast<std::uint32_t>(bytes);
    sealer_.Seal(piece.header, clear, piece.bytes, now_);
    pieces_.push_back(std::move(piece));
  }

  // One of them comes, with its header as it is or altered.
  void Deliver(std::size_t which, std::size_t byte, std::uint8_t mask) {
    if (pieces_.empty()) return;
    Piece piece = pieces_[which % pieces_.size()];
    auto bytes = EncodeChunk(piece.header);
    bytes[byte % kProvenBytes] ^= std::byte{mask};
    const auto sum = Checksum(std::span(bytes).first(kChunkHeaderBytes - 8));
    for (std::size_t i = 0; i < 8; ++i)
      bytes[kChunkHeaderBytes - 8 + i] =
          static_cast<std::byte>((sum >> (8 * i)) & 0xff);
    const auto header = DecodeChunk(bytes);
    if (!header || !header->sealed) return;  // Not the opener's to judge.
    const auto admission = opener_.Admit(*header, now_);
    if (admission.verdict != Opener::Verdict::kGood) return;
    Check(*header == piece.header);
    Check(admitted_.insert(header->counter).second);
    Check(admission.keys->Open(*header, piece.bytes));
    for (const auto value : piece.bytes)
      Check(value == std::byte{static_cast<std::uint8_t>(header->version)});
  }

  void Wait(std::uint8_t seconds) { now_ += std::chrono::seconds(seconds); }

 private:
  static constexpr Limits kLimits{.bytes = 256,
                                  .pieces = 5,
                                  .age = std::chrono::seconds(100),
                                  .overlap = std::chrono::seconds(10)};

  Clock::time_point now_{};
  Sealer sealer_{{.bytes = {}, .dialler = true}, kLimits};
  Opener opener_{{.bytes = {}, .dialler = false}, kLimits};
  std::vector<Piece> pieces_;
  std::set<std::uint64_t> admitted_;
};

}  // namespace
}  // namespace hearsay::transport::seal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  hearsay::fuzz::Input input(data, size);
  hearsay::transport::seal::Conversation conversation;
  while (!input.empty()) {
    const std::uint8_t how = input.Take();
    if (how % 4 == 0)
      conversation.Seal(input.Take(), input.Take() % 100);
    else if (how % 4 == 1)
      conversation.Wait(input.Take());
    else
      conversation.Deliver(input.Take(), input.Take(),
                           how % 4 == 2 ? 0 : input.Take());
  }
  return 0;
}
