#include "model/prep/csv_marks.h"

#include <algorithm>
#include <bit>

#include "model/cpu/simd.h"
#include "model/prep/byte_mask.h"

namespace hearsay::model::prep {

namespace {

constexpr std::size_t kWindow = 32 * kMaskBytes;

// Bits of a mask as offsets, kAtOnce at a time: how many there are is as good
// as random, and a loop that ends with the last would be mispredicted each
// time. So up to kMaskBytes places are overwritten; the return value is behind
// the last that counts.
template <int kAtOnce>
HEARSAY_ALWAYS_INLINE std::uint32_t* Spread(std::uint64_t mask,
                                            std::uint32_t base,
                                            std::uint32_t* to) {
  std::uint32_t* const end = to + std::popcount(mask);
  do {
#pragma GCC unroll 8
    for (int i = 0; i < kAtOnce; ++i) {
      *to++ = base + static_cast<std::uint32_t>(std::countr_zero(mask));
      mask &= mask - 1;
    }
  } while (mask != 0);
  return end;
}

struct Ends {
  std::uint32_t* marks;
  std::uint32_t* newlines;
};

HEARSAY_VECTORISE Ends Find(const char* text, std::size_t begin,
                            std::size_t end, char separator, Ends to) {
  for (std::size_t at = begin; at < end; at += kMaskBytes) {
    const std::size_t left = end - at;
    const std::uint64_t valid =
        left < kMaskBytes ? (std::uint64_t{1} << left) - 1 : ~std::uint64_t{0};
    const std::uint64_t newlines = ByteMask(text + at, '\n') & valid;
    const std::uint64_t marks =
        newlines | (ByteMask(text + at, separator) & valid);
    const auto base = static_cast<std::uint32_t>(at);
    to.marks = Spread<8>(marks, base, to.marks);
    to.newlines = Spread<4>(newlines, base, to.newlines);
  }
  return to;
}

// Moves what was not taken to the front, makes room behind it.
void MakeRoom(std::vector<std::uint32_t>& places, std::size_t& at,
              std::size_t& end) {
  std::copy(places.begin() + static_cast<std::ptrdiff_t>(at),
            places.begin() + static_cast<std::ptrdiff_t>(end), places.begin());
  end -= at;
  at = 0;
  if (places.size() < end + kWindow + kMaskBytes)
    places.resize(end + kWindow + kMaskBytes);
}

}  // namespace

void CsvMarks::Start(const char* text, std::size_t size, char separator) {
  text_ = text;
  size_ = size;
  separator_ = separator;
  looked_ = at_ = marks_end_ = newline_at_ = newlines_end_ = 0;
}

bool CsvMarks::Look() {
  SkipNewlines();
  MakeRoom(marks_, at_, marks_end_);
  MakeRoom(newlines_, newline_at_, newlines_end_);
  const std::size_t had = marks_end_;
  while (marks_end_ == had && looked_ < size_) {
    const std::size_t end = std::min(looked_ + kWindow, size_);
    const Ends ends =
        Find(text_, looked_, end, separator_,
             {marks_.data() + marks_end_, newlines_.data() + newlines_end_});
    marks_end_ = static_cast<std::size_t>(ends.marks - marks_.data());
    newlines_end_ = static_cast<std::size_t>(ends.newlines - newlines_.data());
    looked_ = end;
  }
  return marks_end_ > had;
}

}  // namespace hearsay::model::prep
