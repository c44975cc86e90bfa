// Short decimal numbers of a column, many at once: what quick_number.h does for
// one, a vector's lane each, and then scaled to [-1, 1].
//
// Threads: an object belongs to one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "model/prep/memo.h"  // kFieldMargin

namespace hearsay::model::prep {

// What Encoder does with a number, for one: the oracle of Scale.
[[gnu::always_inline]] inline float ScaledNumber(double number, double minimum,
                                                 double maximum) {
  const double clamped = number < minimum   ? minimum
                         : maximum < number ? maximum
                                            : number;
  return static_cast<float>(2 * ((clamped - minimum) / (maximum - minimum)) -
                            1);
}

class QuickNumbers {
 public:
  static constexpr std::size_t kMost = 64;

  // Requires: i < kMost; kFieldMargin behind the text.
  void Set(std::size_t i, std::string_view text) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), sizeof word);
    const std::size_t before = text.size() - 1 < 8 ? 8 * (8 - text.size()) : 0;
    words_[i] = word << before;
    // Of no text and of long ones: none, which no lane takes.
    used_[i] = text.size() - 1 < 8 ? ~std::uint64_t{0} << before : 0;
  }

  struct Range {
    double minimum = 0, maximum = 1;
    bool whole = false;  // Others are not taken.
  };
  // The first `size` that were set.
  void Scale(std::size_t size, const Range& range);

  // What quick_number.h takes, and whole if it has to be.
  bool is_taken(std::size_t i) const { return refused_[i] == 0; }
  float scaled(std::size_t i) const { return scaled_[i]; }

 private:
  template <typename T>
  using Lanes = std::array<T, kMost>;

  // The last character is the highest byte; and which bytes are the text's.
  alignas(64) Lanes<std::uint64_t> words_{};
  alignas(64) Lanes<std::uint64_t> used_{};
  alignas(64) Lanes<std::uint64_t> points_{};   // Bit 8 k + 7: at byte k. Or 0.
  alignas(64) Lanes<std::uint64_t> refused_{};  // Not 0: it is.
  alignas(64) Lanes<double> digits_{};          // Without the point.
  alignas(64) Lanes<double> divisors_{};
  alignas(64) Lanes<float> scaled_{};
};

}  // namespace hearsay::model::prep
