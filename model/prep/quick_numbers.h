// Short decimal numbers of a column, many at once: what quick_number.h does for
// one, a vector's lane each, and then scaled to [-1, 1].
//
// Threads: an object belongs to one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/prep/quick_number.h"

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
    const QuickText read = ReadQuickText(text);
    words_[i] = read.word;
    used_[i] = read.used;
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

  // QuickText and QuickDigits, lane by lane.
  alignas(64) Lanes<std::uint64_t> words_{};
  alignas(64) Lanes<std::uint64_t> used_{};
  alignas(64) Lanes<std::uint64_t> points_{};
  alignas(64) Lanes<std::uint64_t> refused_{};
  alignas(64) Lanes<double> digits_{};
  alignas(64) Lanes<double> divisors_{};
  alignas(64) Lanes<float> scaled_{};
};

}  // namespace hearsay::model::prep
