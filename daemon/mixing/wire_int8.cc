// Blocks of 256 weights, each weight a whole number of steps of -127 to 127, a
// step being the block's largest weight / 127: 1 byte each, and 4 a block.
//
// Rounded up or down at random, so that the expected value is the weight itself
// (to 2^-16 of a step): over many exchanges nothing is lost, and nodes that
// differ by less than a step still meet. The price is noise of at most a
// quarter of a squared step a weight and message.
// Source: QSGD (Alistarh et al. 2017, arXiv:1610.02132), largest-value norm.
//
// Layout: a float step for each block; then a signed byte for each weight.
#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <limits>

#include "daemon/mixing/clones.h"
#include "daemon/mixing/wire_whole.h"

namespace hearsay::mixing {

namespace {

constexpr std::size_t kBlock = Random::kWords;
constexpr int kSteps = 127;
constexpr std::uint32_t kInfinity = 0x7f800000U;
// Bounds on a step: its inverse is finite, and so are 127 of it.
constexpr float kSmallest = std::numeric_limits<float>::min();
constexpr float kLargest = std::numeric_limits<float>::max() / 128;

constexpr std::size_t Blocks(std::size_t n) {
  return (n + kBlock - 1) / kBlock;
}

HEARSAY_CLONES
float Quantise(const float* values, std::size_t n, const std::uint32_t* random,
               std::int8_t* out) {
  // As whole numbers, magnitudes are in order and NaN is above all of them.
  std::uint32_t top = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t magnitude =
        std::bit_cast<std::uint32_t>(values[i]) & 0x7fffffffU;
    top = magnitude > top ? magnitude : top;
  }
  if (top >= kInfinity) {
    std::memset(out, 0, n);
    return std::numeric_limits<float>::quiet_NaN();
  }
  const float step =
      std::clamp(std::bit_cast<float>(top) / kSteps, kSmallest, kLargest);
  const float inverse = 1 / step;
  for (std::size_t i = 0; i < n; ++i) {
    // In [0, 1); above 0 after the shift, truncating is rounding down.
    const float share =
        static_cast<float>(static_cast<std::int32_t>(random[i] >> 8U)) *
        0x1p-24F;
    const auto up =
        static_cast<std::int32_t>(values[i] * inverse + (share + (kSteps + 1)));
    // The division's rounding may lead out of bounds.
    const std::int32_t low = up < 1 ? 1 : up;
    const std::int32_t shifted = low > 2 * kSteps + 1 ? 2 * kSteps + 1 : low;
    out[i] = static_cast<std::int8_t>(shifted - (kSteps + 1));
  }
  return step;
}

// False if one is -128, which Quantise never writes.
HEARSAY_CLONES
bool Scale(const std::int8_t* steps, std::size_t n, float step, float* out) {
  std::uint32_t unfit = 0;
  for (std::size_t i = 0; i < n; ++i) {
    unfit |= steps[i] == -kSteps - 1 ? 1U : 0U;
    out[i] = static_cast<float>(steps[i]) * step;
  }
  return unfit == 0;
}

class Int8 final : public WholeFormat {
 public:
  std::string name() const override { return "int8"; }
  std::size_t Bytes(std::size_t n) const override {
    return Blocks(n) * sizeof(float) + n;
  }

  std::optional<Fault> Decode(std::span<const std::byte> bytes,
                              std::span<float> out) const override {
    const std::size_t n = out.size();
    if (bytes.size() != Bytes(n)) return Fault::kMalformed;
    const auto* steps = reinterpret_cast<const std::int8_t*>(
        bytes.data() + Blocks(n) * sizeof(float));
    for (std::size_t block = 0; block < Blocks(n); ++block) {
      float step = 0;
      std::memcpy(&step, bytes.data() + block * sizeof(float), sizeof(float));
      if (!AllFinite({&step, 1})) return Fault::kNotFinite;
      if (step < kSmallest || step > kLargest) return Fault::kMalformed;
      const std::size_t begin = block * kBlock;
      if (!Scale(steps + begin, std::min(kBlock, n - begin), step,
                 out.data() + begin))
        return Fault::kMalformed;
    }
    return std::nullopt;
  }

 private:
  void Encode(std::span<const float> mine, Random& random,
              std::span<std::byte> out) override {
    const std::size_t n = mine.size();
    assert(out.size() == Bytes(n));
    auto* steps =
        reinterpret_cast<std::int8_t*>(out.data() + Blocks(n) * sizeof(float));
    Random::Words words;
    for (std::size_t block = 0; block < Blocks(n); ++block) {
      random.Fill(words);
      const std::size_t begin = block * kBlock;
      const float step =
          Quantise(mine.data() + begin, std::min(kBlock, n - begin),
                   words.data(), steps + begin);
      std::memcpy(out.data() + block * sizeof(float), &step, sizeof(float));
    }
  }
};

}  // namespace

std::unique_ptr<WireFormat> MakeInt8() { return std::make_unique<Int8>(); }

}  // namespace hearsay::mixing
