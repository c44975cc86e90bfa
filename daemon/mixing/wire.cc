#include "daemon/mixing/wire.h"

#include <bit>
#include <charconv>
#include <stdexcept>
#include <string_view>

namespace hearsay::mixing {

static_assert(std::endian::native == std::endian::little,
              "messages are written in the order of little-endian machines");

std::unique_ptr<WireFormat> ParseWire(const std::string& text) {
  if (text == "fp32") return MakeFp32();
  if (text == "bf16") return MakeBf16();
  if (text == "int8") return MakeInt8();
  const std::string_view topk = "topk:";
  if (!text.starts_with(topk))
    throw std::invalid_argument("\"" + text +
                                "\" is not a format of the wire; allowed: "
                                "\"fp32\", \"bf16\", \"int8\", \"topk:0.01\"");
  double share = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + topk.size(), end, share);
  if (read.ec != std::errc() || read.ptr != end ||
      !(share > 0 && share <= kLargestShare))
    throw std::invalid_argument(
        "\"" + text +
        "\": the share of weights in a message must be a number above 0 and up "
        "to 0.5 (with more, fp32 is shorter), as in \"topk:0.01\"");
  return MakeTopK(share);
}

}  // namespace hearsay::mixing
