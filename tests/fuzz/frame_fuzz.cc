// The framing of the control connection, cut anyhow, against the frames that a
// reader of the whole stream would see.
#include <optional>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "transport/frame.h"

namespace hearsay::transport {
namespace {

using fuzz::Check;

struct Frames {
  std::vector<std::string> bodies;
  bool malformed = false;
  bool operator==(const Frames&) const = default;
};

Frames OfWhole(std::string_view stream) {
  Frames frames;
  while (stream.size() >= kFrameHeaderBytes) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < kFrameHeaderBytes; ++i)
      size = size * 256 + static_cast<unsigned char>(stream[i]);
    frames.malformed = size == 0 || size > kMaxFrameBytes;
    stream.remove_prefix(kFrameHeaderBytes);
    if (frames.malformed || stream.size() < size) break;
    frames.bodies.emplace_back(stream.substr(0, size));
    stream.remove_prefix(size);
  }
  return frames;
}

Frames OfPieces(std::string_view stream, fuzz::Input cuts) {
  Frames frames;
  FrameDecoder decoder;
  while (!stream.empty() && !decoder.malformed()) {
    const std::size_t step = 1 + cuts.Take() % 61;
    const auto piece = stream.substr(0, step);
    const std::size_t taken = decoder.Feed(fuzz::BytesOf(piece));
    Check(taken > 0 && taken <= piece.size());
    stream.remove_prefix(taken);
    if (auto frame = decoder.Next()) {
      Check(!frame->empty() && frame->size() <= kMaxFrameBytes);
      frames.bodies.push_back(std::move(*frame));
    } else {
      Check(taken == piece.size() || decoder.malformed());
    }
    Check(!decoder.Next());  // once
  }
  frames.malformed = decoder.malformed();
  return frames;
}

}  // namespace
}  // namespace hearsay::transport

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace hearsay::transport;  // NOLINT(google-build-using-namespace)
  hearsay::fuzz::Input input(data, size);
  const auto cuts = input.Bytes(input.Take() % 32);
  const std::string stream = input.Rest();
  const Frames frames = OfWhole(stream);
  hearsay::fuzz::Check(OfPieces(stream, {cuts.data(), cuts.size()}) == frames);
  std::string again;
  for (const auto& body : frames.bodies) again += EncodeFrame(body);
  hearsay::fuzz::Check(stream.starts_with(again));
  return 0;
}
