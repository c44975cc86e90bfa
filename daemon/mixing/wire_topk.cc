// The share F of the weights that has changed most since this peer last heard
// of it: an index and a value each, 8 bytes.
//
// What is not said stays in the weights, its distance to what was said last
// grows, and its turn comes: the error feedback of CHOCO-SGD (Koloskova, Stich,
// Jaggi 2019, arXiv:1902.00340). There, each node corrects by copies of its
// neighbours that are updated by compressed differences, so both ends' copies
// must stay in step, and a message lost or late corrupts them for good. Here
// the two ends say their values at the same indices and correct by the
// difference of what was said; the memory only chooses what to say. A message
// that is lost costs a repetition.
//
// Layout: k indices of 32 bits, ascending; then k values, k = ceil(F n).
#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>

#include "daemon/mixing/clones.h"
#include "daemon/mixing/wire.h"

namespace hearsay::mixing {

namespace {

using Index = std::uint32_t;

template <typename T>
T Load(std::span<const std::byte> bytes, std::size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void Store(std::span<std::byte> bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at * sizeof(T), &value, sizeof(T));
}

// As whole numbers, magnitudes are in order and NaN is above all of them: what
// is not finite goes out first, and is refused.
HEARSAY_CLONES
void Changes(const float* now, const float* said, std::size_t n,
             std::uint32_t* magnitudes) {
  for (std::size_t i = 0; i < n; ++i)
    magnitudes[i] =
        std::bit_cast<std::uint32_t>(now[i] - (said == nullptr ? 0 : said[i])) &
        0x7fffffffU;
}

class TopK final : public WireFormat {
 public:
  explicit TopK(double share) : share_(share) {
    assert(share > 0 && share <= kLargestShare);
  }

  std::string name() const override {
    std::array<char, 32> digits{};
    const auto end = std::to_chars(digits.begin(), digits.end(), share_).ptr;
    return "topk:" + std::string(digits.begin(), end);
  }
  std::size_t Bytes(std::size_t n) const override {
    return Said(n) * (sizeof(Index) + sizeof(float));
  }
  bool IsWhole() const override { return false; }

  void EncodeAsk(std::span<const float> mine, const Memory& of_peer,
                 Random& random, std::span<std::byte> out) override;
  std::optional<Fault> EncodeAnswer(std::span<const std::byte> ask,
                                    std::span<const float> mine, Random& random,
                                    std::span<std::byte> out) override;
  std::optional<Fault> Decode(std::span<const std::byte> bytes,
                              std::span<float> out) const override;
  std::optional<Fault> DecodeAnswer(std::span<const std::byte> ask,
                                    std::span<const std::byte> answer,
                                    Memory& of_peer,
                                    std::span<float> out) const override;

 private:
  struct Cut {
    std::uint32_t magnitude;  // The k-th largest,
    std::size_t ties;         // and how many of that size are among the k.
  };

  std::size_t Said(std::size_t n) const {
    assert(n <= std::numeric_limits<Index>::max());
    // 0.07 of 100 is 7, although the product in binary is a little more.
    const double k = std::ceil(share_ * static_cast<double>(n) * (1 - 0x1p-40));
    return std::min(n, std::max<std::size_t>(1, static_cast<std::size_t>(k)));
  }
  bool IndicesAreFit(std::span<const std::byte> bytes, std::size_t n) const;
  Cut LargestOf(std::size_t k);

  const double share_;
  // Reused: as long as the model.
  std::vector<std::uint32_t> magnitudes_;
  std::vector<std::uint32_t> candidates_;
};

bool TopK::IndicesAreFit(std::span<const std::byte> bytes,
                         std::size_t n) const {
  if (bytes.size() != Bytes(n)) return false;
  std::uint64_t least = 0;
  for (std::size_t i = 0; i < Said(n); ++i) {
    const auto index = Load<Index>(bytes, i);
    if (index < least) return false;
    least = std::uint64_t{index} + 1;
  }
  return least <= n;
}

// By the upper bits first, which leaves few to compare: nth_element of all 4 M
// magnitudes of a model took 2.7 times as long.
TopK::Cut TopK::LargestOf(std::size_t k) {
  constexpr unsigned kShift = 19;
  std::array<std::size_t, std::size_t{1} << (31 - kShift)> counts{};
  for (const std::uint32_t magnitude : magnitudes_)
    ++counts[magnitude >> kShift];
  std::size_t bucket = counts.size() - 1;
  std::size_t above = 0;
  while (above + counts[bucket] < k) above += counts[bucket--];

  candidates_.clear();
  for (const std::uint32_t magnitude : magnitudes_)
    if (magnitude >> kShift == bucket) candidates_.push_back(magnitude);
  const auto last =
      candidates_.begin() + static_cast<std::ptrdiff_t>(k - above - 1);
  std::nth_element(candidates_.begin(), last, candidates_.end(),
                   std::greater<>());
  const std::uint32_t cut = *last;
  const auto larger = static_cast<std::size_t>(std::count_if(
      candidates_.begin(), last,
      [cut](std::uint32_t candidate) { return candidate > cut; }));
  return {cut, k - above - larger};
}

void TopK::EncodeAsk(std::span<const float> mine, const Memory& of_peer,
                     Random& /*random*/, std::span<std::byte> out) {
  const std::size_t n = mine.size();
  const std::size_t k = Said(n);
  assert(out.size() == Bytes(n));
  assert(of_peer.said.empty() || of_peer.said.size() == n);
  if (n == 0) return;
  magnitudes_.resize(n);
  Changes(mine.data(), of_peer.said.empty() ? nullptr : of_peer.said.data(), n,
          magnitudes_.data());
  Cut cut = LargestOf(k);
  const auto values = out.subspan(k * sizeof(Index));
  std::size_t at = 0;
  for (std::size_t i = 0; at < k; ++i) {
    if (magnitudes_[i] < cut.magnitude) continue;
    if (magnitudes_[i] == cut.magnitude) {
      if (cut.ties == 0) continue;
      --cut.ties;
    }
    Store(out, at, static_cast<Index>(i));
    Store(values, at, mine[i]);
    ++at;
  }
}

std::optional<Fault> TopK::EncodeAnswer(std::span<const std::byte> ask,
                                        std::span<const float> mine,
                                        Random& /*random*/,
                                        std::span<std::byte> out) {
  assert(out.size() == Bytes(mine.size()));
  if (!IndicesAreFit(ask, mine.size())) return Fault::kMalformed;
  const std::size_t k = Said(mine.size());
  const auto values = out.subspan(k * sizeof(Index));
  for (std::size_t i = 0; i < k; ++i) {
    const auto index = Load<Index>(ask, i);
    Store(out, i, index);
    Store(values, i, mine[index]);
  }
  return std::nullopt;
}

std::optional<Fault> TopK::Decode(std::span<const std::byte> bytes,
                                  std::span<float> out) const {
  if (!IndicesAreFit(bytes, out.size())) return Fault::kMalformed;
  const std::size_t k = Said(out.size());
  const auto values = bytes.subspan(k * sizeof(Index));
  std::fill(out.begin(), out.end(), 0.0F);
  bool finite = true;
  for (std::size_t i = 0; i < k; ++i) {
    const auto value = Load<float>(values, i);
    finite = finite && std::isfinite(value);
    out[Load<Index>(bytes, i)] = value;
  }
  if (!finite) return Fault::kNotFinite;
  return std::nullopt;
}

std::optional<Fault> TopK::DecodeAnswer(std::span<const std::byte> ask,
                                        std::span<const std::byte> answer,
                                        Memory& of_peer,
                                        std::span<float> out) const {
  if (const auto fault = Decode(answer, out)) return fault;
  const std::size_t k = Said(out.size());
  // At other indices, this side has said nothing that it could differ from.
  if (ask.size() != answer.size() ||
      std::memcmp(ask.data(), answer.data(), k * sizeof(Index)) != 0)
    return Fault::kMalformed;
  of_peer.said.resize(out.size());
  const auto values = ask.subspan(k * sizeof(Index));
  for (std::size_t i = 0; i < k; ++i)
    of_peer.said[Load<Index>(ask, i)] = Load<float>(values, i);
  return std::nullopt;
}

}  // namespace

std::unique_ptr<WireFormat> MakeTopK(double share) {
  return std::make_unique<TopK>(share);
}

}  // namespace hearsay::mixing
