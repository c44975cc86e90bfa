// Records on their way to being rows, column after column. One that turns out
// to be no row keeps its place among the rows until all columns are done, so
// that columns need not ask. Private to the encoder.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "model/prep/csv.h"
#include "model/prep/encoded_rows.h"
#include "model/prep/expression.h"  // RowError

namespace hearsay::model::prep {

// What became of a record.
struct Verdict {
  enum class Outcome {
    kTaken,
    kLeftOut,  // By the schema's keep.
    kDropped,  // A value is missing in a column with missing = "drop".
    kBad,
  };
  Outcome outcome = Outcome::kTaken;
  std::optional<RowError> error = {};  // What is bad.
};

class RowBatch {
 public:
  using Outcome = Verdict::Outcome;

  RowBatch(const CsvRecords& records, EncodedRows& rows,
           std::vector<Verdict>& verdicts)
      : records_(records), rows_(rows), verdicts_(verdicts) {
    verdicts_.assign(records.size(), {});
  }

  // Gives a place to each record for which keep(fields) holds.
  template <typename Keep>
  void Select(const Keep& keep) {
    for (std::size_t record = 0; record < records_.size(); ++record) {
      record_at_[size_] = record;
      fields_at_[size_] = records_.fields.data() + record * records_.width;
      Attempt(size_, [&](std::span<const std::string_view> fields) {
        return keep(fields) ? Outcome::kTaken : Outcome::kLeftOut;
      });
      size_ += IsTaken(size_) ? 1 : 0;
    }
  }

  std::size_t size() const { return size_; }  // Places.
  std::string_view field(std::size_t place, std::size_t column) const {
    return fields_at_[place][column];
  }
  std::size_t code_columns() const { return rows_.code_columns; }
  std::size_t value_columns() const { return rows_.value_columns; }
  std::uint8_t* codes(std::size_t place) const {
    return rows_.codes.data() + (rows_.size + place) * rows_.code_columns;
  }
  float* values(std::size_t place) const {
    return rows_.values.data() + (rows_.size + place) * rows_.value_columns;
  }
  float& label(std::size_t place) const {
    return rows_.labels[rows_.size + place];
  }

  // The outcome of encode(fields), or the RowError that it throws, is the
  // record's, unless an earlier column has cost it its row.
  template <typename Encode>
  void Attempt(std::size_t place, const Encode& encode) {
    if (!IsTaken(place)) return;
    Verdict& verdict = verdicts_[record_at_[place]];
    try {
      verdict.outcome = encode(records_.fields_of(record_at_[place]));
    } catch (const RowError& error) {
      verdict = {Outcome::kBad, error};
    }
    all_taken_ &= verdict.outcome == Outcome::kTaken;
  }

  // Only now are there more rows, and none of a record that is not one.
  void Finish() {
    if (all_taken_) {
      rows_.size += size_;
      return;
    }
    std::size_t next = 0;
    for (std::size_t place = 0; place < size_; ++place)
      if (IsTaken(place)) Move(place, next++);
    rows_.size += next;
  }

 private:
  bool IsTaken(std::size_t place) const {
    return verdicts_[record_at_[place]].outcome == Outcome::kTaken;
  }
  void Move(std::size_t from, std::size_t to) const {
    if (from == to) return;
    std::copy_n(codes(from), rows_.code_columns, codes(to));
    std::copy_n(values(from), rows_.value_columns, values(to));
    label(to) = label(from);
  }

  const CsvRecords& records_;
  EncodedRows& rows_;
  std::vector<Verdict>& verdicts_;
  std::array<std::size_t, CsvCursor::kMany> record_at_;  // Of each place.
  std::array<const std::string_view*, CsvCursor::kMany> fields_at_;
  std::size_t size_ = 0;
  bool all_taken_ = true;
};

}  // namespace hearsay::model::prep
