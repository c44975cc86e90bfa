// Rows as Shard stores them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace hearsay::model::prep {

// The vectors may have room for more than `size` rows.
struct EncodedRows {
  std::size_t code_columns = 0;
  std::size_t value_columns = 0;
  std::size_t size = 0;
  std::vector<std::uint8_t> codes;  // (rows, code columns)
  std::vector<float> values;        // (rows, value columns)
  std::vector<float> labels;        // (rows)

  // Room for so many rows in all.
  void Reserve(std::size_t rows) {
    codes.resize(rows * code_columns);
    values.resize(rows * value_columns);
    labels.resize(rows);
  }
  // To what `size` says.
  void Trim() { Reserve(size); }
};

// Rows that lie elsewhere.
struct RowView {
  std::size_t size() const { return labels.size(); }

  std::span<const float> values;
  std::span<const float> labels;
  std::span<const std::uint8_t> codes;
};

}  // namespace hearsay::model::prep
