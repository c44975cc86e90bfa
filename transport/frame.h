// Frames of the control connection: a length of four bytes (big-endian), then
// that many bytes. Pure, so that it can be fuzzed without a socket.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace hearsay::transport {

inline constexpr std::size_t kFrameHeaderBytes = 4;
inline constexpr std::size_t kMaxFrameBytes = std::size_t{64} << 10;

// Requires: 1 <= body.size() <= kMaxFrameBytes.
std::string EncodeFrame(std::string_view body);

// Takes bytes as they arrive, gives frames back. Never holds more than one
// frame: a length that is 0 or over the bound is an error before anything is
// set aside for it.
class FrameDecoder {
 public:
  // Appends some of `bytes`, and returns how many it took: all, unless a frame
  // became whole (take it with Next) or the stream is broken (malformed()).
  std::size_t Feed(std::span<const std::byte> bytes);
  // The frame that has become whole, once.
  std::optional<std::string> Next();
  // For good: there is no way to find the next frame.
  bool malformed() const { return malformed_; }

 private:
  std::string header_;
  std::string body_;
  std::size_t body_bytes_ = 0;  // 0 = header not whole yet
  bool malformed_ = false;
};

}  // namespace hearsay::transport
