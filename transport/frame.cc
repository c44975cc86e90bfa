#include "transport/frame.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace hearsay::transport {
namespace {

// Moves at most what `wanted` still lacks; returns how many bytes.
std::size_t Fill(std::string& wanted, std::size_t size,
                 std::span<const std::byte> bytes) {
  const std::size_t taken = std::min(size - wanted.size(), bytes.size());
  wanted.append(reinterpret_cast<const char*>(bytes.data()), taken);
  return taken;
}

}  // namespace

std::string EncodeFrame(std::string_view body) {
  assert(!body.empty() && body.size() <= kMaxFrameBytes);
  std::string frame;
  frame.reserve(kFrameHeaderBytes + body.size());
  for (int shift = 24; shift >= 0; shift -= 8)
    frame.push_back(static_cast<char>((body.size() >> shift) & 0xff));
  frame.append(body);
  return frame;
}

std::size_t FrameDecoder::Feed(std::span<const std::byte> bytes) {
  if (malformed_) return 0;
  std::size_t taken = 0;
  if (body_bytes_ == 0) {
    taken = Fill(header_, kFrameHeaderBytes, bytes);
    if (header_.size() < kFrameHeaderBytes) return taken;
    for (const char c : header_)
      body_bytes_ = (body_bytes_ << 8) | static_cast<unsigned char>(c);
    if (body_bytes_ == 0 || body_bytes_ > kMaxFrameBytes) {
      malformed_ = true;
      return taken;
    }
  }
  return taken + Fill(body_, body_bytes_, bytes.subspan(taken));
}

std::optional<std::string> FrameDecoder::Next() {
  if (malformed_ || body_bytes_ == 0 || body_.size() < body_bytes_)
    return std::nullopt;
  header_.clear();
  body_bytes_ = 0;
  return std::exchange(body_, {});
}

}  // namespace hearsay::transport
