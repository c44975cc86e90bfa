// A message of an exchange in each format of the wire: asked, or answered.
//
// Beyond not crashing: what decodes is finite and says no more than itself
// (answering it with its own values gives the same bytes, where the format does
// not round at random), and an answer to it is one that its asker accepts.
#include <cstring>
#include <vector>

#include "daemon/mixing/wire.h"
#include "tests/fuzz/fuzz.h"

namespace hearsay::mixing {
namespace {

using fuzz::Check;

constexpr std::size_t kMostWeights = 600;
constexpr const char* kFormats[] = {"fp32", "bf16", "int8", "topk:0.02"};

void Try(WireFormat& format, std::size_t n, std::span<const std::byte> bytes) {
  std::vector<float> values(n);
  Random random(n);
  std::vector<std::byte> answer(format.Bytes(n));
  const std::vector<float> mine(n, 0.5F);
  if (format.EncodeAnswer(bytes, mine, random, answer)) {
    Check(format.Decode(bytes, values).has_value());
    return;
  }
  Memory memory;
  Check(!format.DecodeAnswer(bytes, answer, memory, values));
  if (format.Decode(bytes, values)) return;
  Check(AllFinite(values));
  if (format.name() == "int8") return;
  Check(!format.EncodeAnswer(bytes, values, random, answer));
  Check(std::memcmp(answer.data(), bytes.data(), answer.size()) == 0);
}

}  // namespace
}  // namespace hearsay::mixing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace hearsay::mixing;  // NOLINT(google-build-using-namespace)
  hearsay::fuzz::Input input(data, size);
  const auto format = ParseWire(kFormats[input.Take() % 4]);
  const std::size_t n = 1 + input.Take<std::uint16_t>() % kMostWeights;
  const bool resize = input.Take() % 4 != 0;
  const std::string rest = input.Rest();
  const auto bytes = hearsay::fuzz::BytesOf(rest);
  std::vector<std::byte> message(bytes.begin(), bytes.end());
  if (resize) message.resize(format->Bytes(n));
  Try(*format, n, message);
  return 0;
}
