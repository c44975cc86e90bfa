// One node's examples, memory-mapped from a safetensors file that `hearsay
// prep` wrote.
//
// Rows are stored compactly: one byte a categorical column ("codes"), one float
// a numeric column already scaled by its public bounds ("values"), one float
// label; Gather() expands them into network input, so a shard on disk and in
// cache is several times smaller than its one-hot matrix.
//
// Threads: const after Open; any number of readers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "model/safetensors.h"

namespace hearsay::model {

// The file: tensors "codes" U8 (rows, categorical columns), "values" F32 (rows,
// numeric columns), "labels" F32 (rows); a tensor without columns is left out.
// Metadata "hearsay.kind" = "shard", "hearsay.name", "hearsay.schema" (JSON:
// columns and label), "hearsay.schema_fingerprint", "hearsay.public_size", and
// optionally "hearsay.source"; "hearsay.charges" and "hearsay.statistics" (both
// JSON) where rows have been released for, and then the schema says so too.

struct ShardColumn {
  std::string name;
  // Categorical: its one-hot categories, in order. Numeric: empty.
  std::vector<std::string> categories;
  // Numeric: the public bounds that were scaled to -1 and 1.
  double minimum = -1;
  double maximum = 1;
  bool categorical() const { return !categories.empty(); }
  // Network inputs that the column takes.
  int width() const {
    return categorical() ? static_cast<int>(categories.size()) : 1;
  }
};

inline constexpr std::size_t kMaxCategories = 255;

// What Gather makes of a categorical column: an input for each category, 1 for
// the row's and 0 for the others; or one input, the number of the category.
enum class Encoding { kOneHot, kCodes };

// What a label means.
struct ShardLabel {
  std::string name;
  std::string description;
  std::vector<std::string> classes;  // Empty: regression.
  // Regression: the public bounds that were scaled to -1 and 1.
  double minimum = -1;
  double maximum = 1;
};

// What rows of the shard were released for before it was made, such as
// statistics that its columns are scaled by: a ledger of its rows begins with
// it. Of Gaussian noise on a grid of integers, once for every row.
struct ShardCharge {
  std::string id;  // of the record by which it was paid
  double noise_multiplier = 0;
  std::uint64_t releases = 0;
  bool operator==(const ShardCharge&) const = default;
};

// A shard before it is a file; spans are not owned.
struct ShardContents {
  std::string name;    // of the schema
  std::string source;  // where the rows came from, or empty
  std::vector<ShardColumn> columns;
  ShardLabel label;
  std::int64_t public_size = 0;
  std::span<const std::uint8_t> codes;  // (rows, categorical columns)
  std::span<const float> values;        // (rows, numeric columns)
  std::span<const float> labels;        // (rows)
  std::vector<ShardCharge> charges = {};
  std::string statistics = {};  // JSON: what was released under them
};

// Checks all that Shard::Open checks, then writes as WriteSafetensors does.
// Throws: FileError (also for contents that no Open would accept).
void WriteShard(const std::filesystem::path& path,
                const ShardContents& contents);

// The same for rows that come in pieces. Memory: `buffer_bytes`.
class ShardWriter {
 public:
  // `head`: all but its rows. Throws: as WriteShard.
  ShardWriter(const std::filesystem::path& path, const ShardContents& head,
              std::size_t rows, std::size_t buffer_bytes = 1 << 18);

  // Row-major, as many of each as `labels`. What Shard::Open checks of rows is
  // the caller's to keep.
  void Append(std::span<const std::uint8_t> codes,
              std::span<const float> values, std::span<const float> labels);
  // Of those rows only the ones with these numbers, in this order.
  void Append(std::span<const std::uint8_t> codes,
              std::span<const float> values, std::span<const float> labels,
              std::span<const std::uint32_t> rows);
  // Work, and waiting: as the two of SafetensorsWriter.
  // Throws: FileError; std::invalid_argument: not as many rows as announced.
  void Complete();
  void Commit();

 private:
  struct Column {
    std::size_t tensor = 0;
    std::vector<std::byte> buffer;
    std::size_t used = 0;
  };
  void Append(Column& column, std::span<const std::byte> bytes);
  void Append(Column& column, std::span<const std::byte> bytes,
              std::size_t row_bytes, std::span<const std::uint32_t> rows);
  void Flush(Column& column);

  std::vector<Tensor> tensors_;
  SafetensorsWriter file_;
  Column codes_;
  Column values_;
  Column labels_;
};

// Hex hash of the names, categories and bounds of columns and label, and of the
// names of the classes; descriptions do not matter.
std::string SchemaFingerprint(const std::vector<ShardColumn>& columns,
                              const ShardLabel& label);

class Shard {
 public:
  // Checks everything that training relies on: checksum, shapes, every code
  // within its column's categories, every value and label finite, every class
  // label an integer in range. An empty shard is an error.
  // Throws: FileError.
  static Shard Open(const std::filesystem::path& path,
                    Encoding encoding = Encoding::kOneHot);

  // Egress: private (use public_size() for anything that leaves).
  std::size_t rows() const { return rows_; }
  int features() const { return features_; }  // I: network inputs
  int classes() const { return classes_; }    // 0: regression
  const ShardLabel& label() const { return label_; }
  const std::vector<ShardColumn>& columns() const { return columns_; }
  // Rounded by prep to two significant digits; the schema owner may set it.
  std::int64_t public_size() const { return public_size_; }
  // Equal for shards whose columns and label mean the same. Egress: public.
  const std::string& schema_fingerprint() const { return schema_fingerprint_; }
  // Hex hash of the rows and of the fingerprint; names the data set in the
  // ledger. Egress: private.
  const std::string& content_hash() const { return content_hash_; }
  // Counted by the content hash too. Egress: private.
  const std::vector<ShardCharge>& charges() const { return charges_; }
  // JSON, or empty. Egress: released.
  const std::string& statistics() const { return statistics_; }
  const std::string& name() const { return name_; }      // of the schema
  const std::string& source() const { return source_; }  // may be empty

  // features (rows.size(), I) and labels (rows.size()) are overwritten.
  // Does not allocate. Requires: every index < rows(), spans of those sizes.
  void Gather(std::span<const std::uint32_t> rows, std::span<float> features,
              std::span<float> labels) const;

 private:
  Shard(SafetensorsFile file, Encoding encoding);
  void ReadCharges(bool charged);

  SafetensorsFile file_;
  Encoding encoding_;
  std::span<const std::uint8_t> codes_;  // (rows, categorical columns)
  std::span<const float> values_;        // (rows, numeric columns)
  std::span<const float> labels_;        // (rows)
  std::size_t rows_ = 0;
  int features_ = 0;
  int classes_ = 0;
  std::int64_t public_size_ = 0;
  std::vector<ShardColumn> columns_;
  ShardLabel label_;
  // First network input of each categorical and of each numeric column.
  std::vector<std::uint32_t> code_inputs_;
  std::vector<std::uint32_t> value_inputs_;
  bool values_adjacent_ = true;  // No other input lies between two of these.
  std::string schema_fingerprint_;
  std::string content_hash_;
  std::vector<ShardCharge> charges_;
  std::string statistics_;
  std::string name_;
  std::string source_;
};

}  // namespace hearsay::model
