// Turns records of one CSV file into rows of a shard, as a schema says.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/prep/schema.h"

namespace hearsay::model::prep {

// Rows as Shard stores them, of all files together.
struct EncodedRows {
  std::size_t code_columns = 0;
  std::size_t value_columns = 0;
  std::vector<std::uint8_t> codes;
  std::vector<float> values;
  std::vector<float> labels;
  std::size_t size() const { return labels.size(); }
};

EncodedRows MakeRows(const Schema& schema);

class Encoder {
 public:
  // Finds the schema's columns among the header's; others are ignored.
  // Requires: `schema` outlives the encoder.
  // Throws: FileError that names `path` and every column that is missing.
  Encoder(const Schema& schema, const std::vector<std::string>& header,
          const std::filesystem::path& path);

  // Appends the record, unless the schema's keep says no; false then.
  // Throws: RowError (and leaves `rows` as it was).
  bool Append(std::span<const std::string_view> fields, EncodedRows& rows);

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

  struct Bound {
    const InputColumn* column;
    std::size_t field;
    Codes codes;  // Categorical.
  };
  // A condition, where its columns are, and room for their values.
  struct Condition {
    const Expression* expression;
    std::vector<std::size_t> fields;
    std::vector<std::optional<std::string_view>> values;
  };

  std::optional<Condition> Bind(const std::optional<Expression>& expression,
                                std::vector<std::string>& missing) const;
  std::optional<std::size_t> Locate(const std::string& column) const;
  bool Holds(Condition& condition, std::span<const std::string_view> fields);
  bool IsMissing(std::string_view field) const;
  void Encode(const Bound& bound, std::string_view field);
  std::uint8_t CategoryCode(const Bound& bound, std::string_view field) const;
  std::uint8_t BinCode(const InputColumn& column, std::string_view field) const;
  float Label(std::span<const std::string_view> fields);

  const Schema& schema_;
  const std::vector<std::string> header_;
  const std::filesystem::path path_;
  std::vector<Bound> columns_;
  std::optional<Condition> keep_;
  std::vector<std::optional<Condition>> classes_;
  std::size_t label_field_ = 0;
  // The row being encoded, so that a bad one leaves no half behind.
  std::vector<std::uint8_t> codes_;
  std::vector<float> values_;
};

}  // namespace hearsay::model::prep
