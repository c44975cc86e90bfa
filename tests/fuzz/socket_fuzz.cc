// A data socket's stream, cut anyhow, against what a reader of the whole
// stream would see: the same messages, the same bytes, the same end.
#include <memory>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "transport/chunk.h"
#include "transport/socket_frame.h"
#include "transport/socket_parser.h"

namespace hearsay::transport {
namespace {

using fuzz::Check;

constexpr std::size_t kMostPayloadBytes = 8192;
constexpr int kMostStrange = 64;

// Stands for the data plane: an empty header is nobody's, and no payload is
// welcome that is larger than it knows arrays to be.
bool IsWanted(std::string_view header, std::size_t payload_bytes) {
  return !header.empty() && header[0] != 'x' &&
         payload_bytes <= kMostPayloadBytes;
}

// And what to it is no header at all.
bool IsNonsense(std::string_view header) { return header.starts_with('n'); }

struct Seen {
  std::vector<std::string> headers;
  std::vector<std::string> payloads;  // of those that were wanted
  bool broken = false;
  bool operator==(const Seen&) const = default;
};

std::size_t Length(std::string_view at) {
  std::size_t value = 0;
  for (std::size_t i = 4; i-- > 0;)
    value = value * 256 + static_cast<unsigned char>(at[i]);
  return value;
}

Seen OfWhole(std::string_view stream) {
  Seen seen;
  const std::string_view greeting = "HRSYDAT1";
  if (stream.size() < greeting.size()) return seen;
  seen.broken = !stream.starts_with(greeting);
  stream.remove_prefix(greeting.size());
  int strange = 0;
  while (!seen.broken && stream.size() >= kSocketPrefixBytes) {
    const std::size_t header_bytes = Length(stream);
    const std::size_t payload_bytes = Length(stream.substr(4));
    seen.broken = header_bytes > kMaxWireHeaderBytes ||
                  payload_bytes > kMaxChunkBytes + 64;
    stream.remove_prefix(kSocketPrefixBytes);
    if (seen.broken || stream.size() < header_bytes) break;
    const auto header = stream.substr(0, header_bytes);
    stream.remove_prefix(header_bytes);
    seen.headers.emplace_back(header);
    seen.broken = IsNonsense(header);
    if (seen.broken) break;
    const bool wanted = IsWanted(header, payload_bytes);
    if (wanted) strange = -1;  // no stranger from here on
    if (strange >= 0) seen.broken = ++strange > kMostStrange;
    if (seen.broken || stream.size() < payload_bytes) break;
    if (wanted) seen.payloads.emplace_back(stream.substr(0, payload_bytes));
    stream.remove_prefix(payload_bytes);
  }
  return seen;
}

// Hands the stream to a parser as a socket would: as much as it has room for,
// or less.
Seen OfPieces(std::string_view stream, fuzz::Input cuts) {
  Seen seen;
  std::size_t unfinished = 0;
  SocketParser parser([&](std::span<const std::byte> header,
                          std::size_t bytes) -> std::optional<Wire::Receive> {
    seen.headers.emplace_back(reinterpret_cast<const char*>(header.data()),
                              header.size());
    if (IsNonsense(seen.headers.back())) {
      Wire::Receive receive;
      receive.nonsense = true;
      return receive;
    }
    if (!IsWanted(seen.headers.back(), bytes)) return std::nullopt;
    const auto into = std::make_shared<std::string>(bytes, '\0');
    ++unfinished;
    return Wire::Receive{.into = std::as_writable_bytes(std::span(*into)),
                         .keep = into,
                         .done = [&seen, &unfinished, into](bool arrived) {
                           --unfinished;
                           if (arrived) seen.payloads.push_back(*into);
                         }};
  });
  while (!stream.empty() && !seen.broken) {
    std::size_t most = cuts.empty() ? stream.size() : 1 + cuts.Take();
    std::size_t read = 0;
    std::size_t room = 0;
    for (const auto place : parser.Places()) {
      const auto part = stream.substr(0, std::min(place.size(), most - read));
      std::copy_n(fuzz::BytesOf(part).begin(), part.size(), place.begin());
      stream.remove_prefix(part.size());
      read += part.size();
      room += place.size();
    }
    Check(room > 0);
    seen.broken = !parser.Consume(read);
  }
  Check(parser.receiving() == (unfinished == 1) && unfinished <= 1);
  parser.Abandon();
  parser.Abandon();
  Check(unfinished == 0);
  return seen;
}

}  // namespace
}  // namespace hearsay::transport

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace hearsay::transport;  // NOLINT(google-build-using-namespace)
  hearsay::fuzz::Input input(data, size);
  const bool greet = input.Take() % 8 != 0;
  const auto cuts = input.Bytes(input.Take() % 64);
  const std::string stream = (greet ? "HRSYDAT1" : "") + input.Rest();
  hearsay::fuzz::Check(OfPieces(stream, {cuts.data(), cuts.size()}) ==
                       OfWhole(stream));
  return 0;
}
