// The upper half of every weight, rounded to the nearest, ties to even: 2 bytes
// each, 8 significant bits.
//
// The rounding is the same every time, so it does not average out: what two
// nodes differ by below half a unit in the last place (2^-8 of the weight) is
// not seen and not corrected. Where that matters, int8 is the format that
// rounds without bias. A weight beyond the largest bf16 becomes infinite, and
// the message is refused like one that was infinite before.
#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>

#include "daemon/mixing/clones.h"
#include "daemon/mixing/wire_whole.h"

namespace hearsay::mixing {

namespace {

constexpr std::uint32_t kInfinity = 0x7f800000U;

HEARSAY_CLONES
void Round(const float* values, std::size_t n, std::byte* out) {
  for (std::size_t i = 0; i < n; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(values[i]);
    const std::uint32_t rounded = bits + 0x7fffU + ((bits >> 16U) & 1U);
    // Rounding might carry a NaN into its sign, and so make it a zero.
    const std::uint32_t quiet = bits | 0x400000U;
    const bool nan = (bits & 0x7fffffffU) > kInfinity;
    const auto half =
        static_cast<std::uint16_t>((nan ? quiet : rounded) >> 16U);
    std::memcpy(out + sizeof(half) * i, &half, sizeof(half));
  }
}

// False if one is not finite.
HEARSAY_CLONES
bool Widen(const std::byte* bytes, std::size_t n, float* out) {
  std::uint32_t unfit = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, bytes + sizeof(half) * i, sizeof(half));
    const std::uint32_t bits = std::uint32_t{half} << 16U;
    unfit |= (bits & kInfinity) == kInfinity ? 1U : 0U;
    out[i] = std::bit_cast<float>(bits);
  }
  return unfit == 0;
}

class Bf16 final : public WholeFormat {
 public:
  std::string name() const override { return "bf16"; }
  std::size_t Bytes(std::size_t n) const override {
    return n * sizeof(std::uint16_t);
  }

  std::optional<Fault> Decode(std::span<const std::byte> bytes,
                              std::span<float> out) const override {
    if (bytes.size() != Bytes(out.size())) return Fault::kMalformed;
    if (!Widen(bytes.data(), out.size(), out.data())) return Fault::kNotFinite;
    return std::nullopt;
  }

 private:
  void Encode(std::span<const float> mine, Random& /*random*/,
              std::span<std::byte> out) override {
    assert(out.size() == Bytes(mine.size()));
    Round(mine.data(), mine.size(), out.data());
  }
};

}  // namespace

std::unique_ptr<WireFormat> MakeBf16() { return std::make_unique<Bf16>(); }

}  // namespace hearsay::mixing
