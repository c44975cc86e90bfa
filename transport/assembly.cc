#include "transport/assembly.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace hearsay::transport {
namespace {

// An empty message is one empty piece.
std::size_t Pieces(std::uint64_t total, std::size_t chunk_bytes) {
  return std::max<std::size_t>(1, (total + chunk_bytes - 1) / chunk_bytes);
}

}  // namespace

Assembly::Assembly(const ChunkHeader& first, std::size_t chunk_bytes,
                   Buffer payload)
    : exchange_(first.exchange),
      version_(first.version),
      total_(first.total),
      chunk_bytes_(chunk_bytes),
      payload_(std::move(payload)),
      claimed_(Pieces(first.total, chunk_bytes)),
      unclaimed_(claimed_.size()),
      missing_(claimed_.size()) {
  assert(total_ == (payload_ ? payload_->size() : 0));
}

std::optional<std::span<std::byte>> Assembly::Claim(const ChunkHeader& piece) {
  if (piece.exchange != exchange_ || piece.version != version_ ||
      piece.total != total_)
    return std::nullopt;
  const std::size_t index = piece.offset / chunk_bytes_;
  assert(index < claimed_.size());
  if (claimed_[index]) return std::nullopt;
  claimed_[index] = true;
  --unclaimed_;
  if (!payload_) return std::span<std::byte>();
  return payload_->subspan(piece.offset, piece.length);
}

void Assembly::Accept() {
  assert(missing_ > 0);
  --missing_;
}

}  // namespace hearsay::transport
