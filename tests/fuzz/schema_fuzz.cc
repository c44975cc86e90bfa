// A schema, and behind a zero byte a CSV file that it is to read.
//
// Beyond not crashing: a row that is taken has every code below the number of
// its column's categories, every value within [-1, 1], and the label of a
// class; and the row comes out the same from an encoder that has seen others
// before, and where many are encoded at once.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/prep/csv.h"
#include "model/prep/encoder.h"
#include "model/prep/schema.h"
#include "tests/fuzz/fuzz.h"

namespace hearsay::model::prep {
namespace {

using fuzz::Check;

void CheckRow(const Schema& schema, const EncodedRows& rows) {
  std::size_t code = 0;
  std::size_t value = 0;
  const auto in_bounds = [](float x) {
    Check(std::isfinite(x) && x >= -1 && x <= 1);
  };
  for (const ShardColumn& column : ShardColumns(schema))
    if (column.categorical())
      Check(rows.codes[code++] < column.categories.size());
    else
      in_bounds(rows.values[value++]);
  Check(code == rows.code_columns && value == rows.value_columns);
  if (schema.label.classes.empty())
    in_bounds(rows.labels[0]);
  else
    Check(rows.labels[0] < static_cast<float>(schema.label.classes.size()));
}

// All rows of the block, as they come many at once.
EncodedRows Many(const Schema& schema, const CsvBlock& block,
                 const CsvBlocks& blocks) {
  Encoder encoder(schema, blocks.header(), "f");
  EncodedRows rows = MakeRows(schema);
  rows.Reserve(block.lines);
  CsvCursor cursor(schema.csv);
  cursor.Start(block);
  do {
    for (CsvRecords records = cursor.NextMany(blocks.header().size());
         records.size() > 0; records = cursor.NextMany(blocks.header().size()))
      encoder.Append(records, rows);
  } while (cursor.Next() == CsvCursor::Step::kRecord);
  return rows;
}

// Nothing: the row is not taken.
bool Append(Encoder& encoder, std::span<const std::string_view> fields,
            EncodedRows& rows) {
  rows.size = 0;
  rows.Reserve(1);
  try {
    return encoder.Append(fields, rows) == Encoder::Outcome::kTaken;
  } catch (const RowError&) {
    return false;
  }
}

void Try(const std::string& text, const std::string& csv) {
  const Schema schema = ParseSchema(text, "s.toml");
  if (schema.images || schema.text) return;
  CsvBlocks blocks(ByteSource(csv, "f"), "f", schema.csv);
  Encoder encoder(schema, blocks.header(), "f");
  EncodedRows rows = MakeRows(schema);
  EncodedRows again = MakeRows(schema);
  CsvCursor cursor(schema.csv);
  CsvBlock block;
  while (blocks.Next(block)) {
    cursor.Start(block);
    const EncodedRows many = Many(schema, block, blocks);
    std::size_t row = 0;
    while (cursor.Next() == CsvCursor::Step::kRecord) {
      Encoder fresh(schema, blocks.header(), "f");
      const bool taken = Append(encoder, cursor.fields(), rows);
      Check(Append(fresh, cursor.fields(), again) == taken);
      if (!taken) continue;
      CheckRow(schema, rows);
      Check(rows.codes == again.codes && rows.values == again.values &&
            rows.labels == again.labels);
      Check(row < many.size);
      Check(std::equal(rows.codes.begin(), rows.codes.end(),
                       many.codes.data() + row * many.code_columns) &&
            std::equal(rows.values.begin(), rows.values.end(),
                       many.values.data() + row * many.value_columns) &&
            rows.labels[0] == many.labels[row]);
      ++row;
    }
    // What is behind a broken record is not compared.
    Check(row <= many.size);
  }
}

}  // namespace
}  // namespace hearsay::model::prep

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = input.find('\0');
  try {
    hearsay::model::prep::Try(
        input.substr(0, end),
        end == std::string::npos ? "" : input.substr(end + 1));
  } catch (const hearsay::model::FileError&) {
    // The schema, or a file that does not fit it.
  }
  return 0;
}
