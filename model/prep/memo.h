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

// A table in which a text may push another one out. Texts beyond 16 bytes are
// not remembered.
class Memo {
 public:
  // Nothing that was put in is negative.
  static constexpr std::int32_t kUnknown = -1;

  std::int32_t Find(std::string_view text) const {
    const Key key = MakeKey(text);
    const Entry& entry = (*entries_)[key.slot];
    return entry.low == key.low && entry.high == key.high &&
                   entry.length == key.length
               ? entry.result
               : kUnknown;
  }
  void Put(std::string_view text, std::int32_t result) {
    const Key key = MakeKey(text);
    if (key.length == kTooLong) return;
    (*entries_)[key.slot] = {key.low, key.high, key.length, result};
  }

 private:
  static constexpr std::size_t kSlots = 512;
  static constexpr std::uint32_t kTooLong = 17;

  struct Entry {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    std::uint32_t length = kTooLong + 1;  // As no text.
    std::int32_t result = kUnknown;
  };
  // Different for different texts of the same length.
  struct Key {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    std::uint32_t length = kTooLong;
    std::size_t slot = 0;
  };

  template <typename Word>
  static std::uint64_t Load(const char* at) {
    Word word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }

  // Loads overlap instead of reaching beyond the text.
  static Key MakeKey(std::string_view text) {
    Key key;
    const std::size_t n = text.size();
    const char* const at = text.data();
    if (n - 1 < 3) {
      key.low = Load<std::uint8_t>(at) | Load<std::uint8_t>(at + n / 2) << 8 |
                Load<std::uint8_t>(at + n - 1) << 16;
    } else if (n == 0) {
      key.low = 0;
    } else if (n < 8) {
      key.low = Load<std::uint32_t>(at) | Load<std::uint32_t>(at + n - 4) << 32;
    } else if (n <= 16) {
      key.low = Load<std::uint64_t>(at);
      key.high = Load<std::uint64_t>(at + n - 8);
    } else {
      return key;
    }
    key.length = static_cast<std::uint32_t>(n);
    // Fibonacci hashing: the product's high bits.
    const std::uint64_t mixed =
        (key.low ^ (key.high * 0xc2b2ae3d27d4eb4fULL) ^ n) *
        0x9e3779b97f4a7c15ULL;
    key.slot = static_cast<std::size_t>(mixed >> 55);
    return key;
  }
  static_assert(kSlots == 1U << (64 - 55));

  std::unique_ptr<std::array<Entry, kSlots>> entries_ =
      std::make_unique<std::array<Entry, kSlots>>();
};

}  // namespace hearsay::model::prep
