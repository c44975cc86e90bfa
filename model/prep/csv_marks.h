// Where separators and newlines are in a text, found some kilobytes ahead.
// Private to CsvCursor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hearsay::model::prep {

class CsvMarks {
 public:
  // Requires: a text that ends in a newline, of less than 4 GiB; kMaskBytes
  // readable bytes behind it.
  void Start(const char* text, std::size_t size, char separator);

  // The first that was not taken. Requires: there is one.
  std::size_t Next() {
    if (at_ == marks_end_) Look();
    return marks_[at_++];
  }
  // The first at or behind `place`, to which a quote has led.
  std::size_t NextFrom(std::size_t place) {
    std::size_t mark = Next();
    while (mark < place) mark = Next();
    return mark;
  }

  // Takes as many as a record of `fields` fields has, if a newline is the last
  // of these and of none before; else nullptr. Requires: the last that was
  // taken ended a record, if any.
  const std::uint32_t* TakeRecord(std::size_t fields) {
    SkipNewlines();
    while (newline_at_ == newlines_end_)
      if (marks_end_ - at_ >= fields || !Look()) return nullptr;
    if (marks_end_ - at_ < fields ||
        marks_[at_ + fields - 1] != newlines_[newline_at_])
      return nullptr;
    ++newline_at_;
    at_ += fields;
    return marks_.data() + at_ - fields;
  }

 private:
  // Those that Next() took.
  void SkipNewlines() {
    while (newline_at_ < newlines_end_ &&
           (at_ == marks_end_ || newlines_[newline_at_] < marks_[at_]))
      ++newline_at_;
  }
  // False: there are no more.
  bool Look();

  const char* text_ = nullptr;
  std::size_t size_ = 0;
  std::size_t looked_ = 0;  // So far.
  char separator_ = ',';
  // Those that were found and not taken, and of these the newlines.
  std::vector<std::uint32_t> marks_;
  std::size_t at_ = 0;
  std::size_t marks_end_ = 0;
  std::vector<std::uint32_t> newlines_;
  std::size_t newline_at_ = 0;
  std::size_t newlines_end_ = 0;
};

}  // namespace hearsay::model::prep
