// Turns records of one CSV file into rows of a shard, as a schema says.
//
// Threads: an encoder belongs to one; they share nothing but the schema.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/prep/encoded_rows.h"
#include "model/prep/memo.h"
#include "model/prep/quick_numbers.h"
#include "model/prep/row_batch.h"
#include "model/prep/schema.h"

namespace hearsay::model::prep {

EncodedRows MakeRows(const Schema& schema);

class Encoder {
 public:
  using Outcome = Verdict::Outcome;

  // Finds the schema's columns among the header's; others are ignored.
  // Requires: `schema` outlives the encoder.
  // Throws: FileError that names `path` and every column that is missing.
  Encoder(const Schema& schema, const std::vector<std::string>& header,
          const std::filesystem::path& path);

  // Appends those of the records that are rows, in their order, and says what
  // became of each; valid until the next call. Requires: records as wide as the
  // header; room for them; kFieldMargin behind each field.
  std::span<const Verdict> Append(const CsvRecords& records, EncodedRows& rows);
  // The same of one, of any width. Throws: RowError instead of kBad.
  Outcome Append(std::span<const std::string_view> fields, EncodedRows& rows);
  // What is wrong with a record of so many fields.
  RowError WrongWidth(std::size_t fields) const;

  // Where a column that need not be in the schema is. Throws: FileError.
  std::size_t Find(const std::string& column) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  using Codes =
      std::unordered_map<std::string, std::uint8_t, Hash, std::equal_to<>>;

  // A condition, where its columns are, and room for their values.
  struct Condition {
    const Expression* expression;
    std::vector<std::size_t> fields;
    std::vector<std::optional<std::string_view>> values;
    Memo memo;  // Of the only column.
  };
  // A number that is derived, where its columns are, and room for theirs.
  struct Derived {
    const Arithmetic* arithmetic;
    std::vector<std::size_t> fields;
    std::vector<double> numbers;
  };
  struct Bound {
    const InputColumn* column;
    std::size_t field;
    std::size_t place;              // Among a row's codes, or its values.
    Codes codes;                    // Categorical, boolean.
    std::optional<Condition> when;  // Boolean.
    std::optional<Derived> derived;
    Memo memo;
  };
  // A missing value that costs the row; no code is as large.
  static constexpr std::int32_t kDrop = 256;

  std::optional<Condition> Bind(const std::optional<Expression>& expression,
                                std::vector<std::string>& missing) const;
  std::optional<Derived> Bind(const std::optional<Arithmetic>& arithmetic,
                              std::vector<std::string>& missing) const;
  // Where the columns are; adds to `missing` those that are not there.
  std::vector<std::size_t> LocateAll(const std::vector<std::string>& columns,
                                     std::vector<std::string>& missing) const;
  std::optional<std::size_t> Locate(const std::string& column) const;
  bool Holds(Condition& condition, std::span<const std::string_view> fields);
  bool Evaluate(Condition& condition, std::span<const std::string_view> fields);
  bool IsMissing(std::string_view field) const;
  // Nothing: a missing value.
  std::optional<double> ReadNumber(const std::string& column,
                                   std::string_view field) const;
  std::optional<double> ReadAnyNumber(const std::string& column,
                                      std::string_view field) const;
  std::optional<double> Derive(Derived& derived,
                               std::span<const std::string_view> fields) const;
  std::int32_t Code(Bound& bound, std::string_view field);
  std::int32_t DerivedCode(Bound& bound,
                           std::span<const std::string_view> fields) const;
  // A column of all rows (encode_columns.cc): what its memo knows, or what is a
  // short number, at once; the rest by the functions for one.
  void AppendCodes(Bound& bound, RowBatch& batch);
  void AppendTexts(Bound& bound, RowBatch& batch);
  void AppendValues(Bound& bound, RowBatch& batch);
  void AppendFlags(Bound& bound, RowBatch& batch);
  void AppendNumbers(Bound& bound, RowBatch& batch);
  void AppendLabels(RowBatch& batch);
  std::int32_t MakeCode(const Bound& bound, std::string_view field) const;
  // kDrop, or what to do without a value.
  std::int32_t MissingCode(const Bound& bound, std::string_view field) const;
  // Of a column that has no code: drop the row, or fail.
  Outcome WithoutValue(const Bound& bound, std::string_view field) const;
  Outcome AppendText(const Bound& bound, std::string_view field,
                     std::uint8_t* codes) const;
  Outcome AppendValue(Bound& bound, std::span<const std::string_view> fields,
                      float* values);
  float Label(std::span<const std::string_view> fields);
  float MakeLabel(std::span<const std::string_view> fields);

  const Schema& schema_;
  const std::vector<std::string> header_;
  const std::filesystem::path path_;
  bool numbers_stand_for_missing_ = false;
  std::vector<Bound> columns_;
  std::optional<Condition> keep_;
  std::vector<std::optional<Condition>> classes_;
  // Of a regression, or of classes that all read the same column.
  std::optional<std::size_t> label_field_;
  Memo label_memo_;
  QuickNumbers numbers_;           // Of a column of a batch.
  std::vector<Verdict> verdicts_;  // Of the last batch.
};

}  // namespace hearsay::model::prep
