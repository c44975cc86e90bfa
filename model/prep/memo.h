// Remembers what fields came to. Most columns hold few different texts, so that
// reading one again costs a look-up of some nanoseconds, whatever rules, bins
// and spellings made it the first time.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

namespace hearsay::model::prep {

// Bytes behind a field that may be read, whatever they are: so its length needs
// no branches.
inline constexpr std::size_t kFieldMargin = 16;

// A table in which a text may push another one out. Texts beyond 16 bytes are
// not remembered. Requires: kFieldMargin.
class Memo {
 public:
  // Nothing that was put in is that: not a code, nor the bits of a number.
  static constexpr std::int32_t kUnknown = -1;

  [[gnu::always_inline]] std::int32_t Find(std::string_view text) const {
    if (text.size() > kLongest) return kUnknown;
    const Key key = MakeKey(text);
    const Entry& entry = (*entries_)[key.slot];
    return entry.low == key.low && entry.high == key.high &&
                   entry.length == text.size()
               ? entry.result
               : kUnknown;
  }
  void Put(std::string_view text, std::int32_t result) {
    if (text.size() > kLongest) return;
    const Key key = MakeKey(text);
    (*entries_)[key.slot] = {key.low, key.high,
                             static_cast<std::uint32_t>(text.size()), result};
  }

 private:
  static constexpr int kSlotBits = 9;
  static constexpr std::size_t kLongest = 16;
  static_assert(kFieldMargin >= kLongest);

  struct Entry {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    std::uint32_t length = kLongest + 1;  // As no text.
    std::int32_t result = kUnknown;
  };
  using Entries = std::array<Entry, std::size_t{1} << kSlotBits>;
  struct Key {
    std::uint64_t low = 0;  // The text's bytes, and zeros behind them.
    std::uint64_t high = 0;
    std::size_t slot = 0;
  };

  static Key MakeKey(std::string_view text) {
    // 0xff for each byte of a text; where a window begins says for how many.
    static constexpr auto kMask = [] {
      std::array<unsigned char, 2 * kLongest> mask{};
      for (std::size_t i = 0; i < kLongest; ++i) mask[i] = 0xff;
      return mask;
    }();
    std::array<std::uint64_t, 2> bytes;
    std::array<std::uint64_t, 2> mask;
    std::memcpy(bytes.data(), text.data(), sizeof bytes);
    std::memcpy(mask.data(), kMask.data() + kLongest - text.size(),
                sizeof mask);
    Key key{bytes[0] & mask[0], bytes[1] & mask[1]};
    // Fibonacci hashing: the product's high bits.
    const std::uint64_t mixed =
        (key.low ^ (key.high * 0xc2b2ae3d27d4eb4fULL) ^ text.size()) *
        0x9e3779b97f4a7c15ULL;
    key.slot = static_cast<std::size_t>(mixed >> (64 - kSlotBits));
    return key;
  }

  std::unique_ptr<Entries> entries_ = std::make_unique<Entries>();
};

}  // namespace hearsay::model::prep
