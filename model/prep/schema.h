// What a data set's columns mean, as its owner wrote it down in TOML: which
// rows to keep, how each column becomes network input, what the label is.
// ops/schemas/*.toml are the manual of the format.
//
// All that a schema says is public, bounds included; nothing is ever computed
// from the private rows, but for statistics that it asks for and that a ledger
// pays (statistics.h).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/prep/arithmetic.h"
#include "model/prep/csv.h"
#include "model/prep/expression.h"
#include "model/prep/idx.h"
#include "model/prep/text.h"
#include "model/shard.h"

namespace hearsay::model::prep {

struct Category {
  std::string name;
  std::vector<std::string> values;  // Raw spellings that mean it.
};

struct InputColumn {
  enum class Kind {
    kCategorical,  // one input a category
    kBinned,       // a number; one input a bin, the end bins are open
    kNumeric,      // a number, clamped to its bounds and scaled to [-1, 1]
    kBoolean,      // one input, -1 or 1
    kText,         // as many codes as its format has places, a byte each
  };
  // It becomes one code of a shard, not a value.
  bool categorical() const {
    return kind == Kind::kCategorical || kind == Kind::kBinned;
  }

  std::string name;
  std::string from;  // The CSV's column.
  // Instead of `from`, of a number: derived from columns.
  std::optional<Arithmetic> value;
  Kind kind = Kind::kCategorical;

  std::vector<Category> categories;  // Boolean: false, then true.
  bool other = false;                // Categorical: a bucket for all else.
  bool missing_category = false;     // Categorical, binned.
  bool drop_missing = false;         // A missing value costs the row.
  std::optional<Expression> when;    // Boolean: whether it holds; no `from`.

  std::vector<double> edges;  // Binned: bin i is [edges[i], edges[i + 1]).

  double minimum = 0;  // Numeric.
  double maximum = 0;
  bool whole = false;  // Only whole numbers are accepted.
  TextFormat text;     // Text.
  // Stands for a missing value: a number (boolean: 0 or 1), a category, a text.
  std::optional<double> fill;
  std::optional<std::string> fill_value;
  bool missing_indicator = false;  // One more input: was it missing?

  // By statistics of the rows, released under noise (statistics.h): numeric,
  // the bounds become the mean and so many deviations to either side;
  // categorical, what fewer rows than that have goes to `other`.
  std::optional<double> deviations;
  std::optional<double> fold_below;
  bool wants_statistics() const {
    return deviations.has_value() || fold_below.has_value();
  }
};

struct LabelClass {
  std::string name;
  std::optional<Expression> when;  // Nothing: all other rows. Last only.
};

struct LabelRule {
  std::string name;
  std::string description;
  std::vector<LabelClass> classes;  // The first that holds; empty: regression.
  std::string column;               // Regression: scaled as kNumeric is.
  double minimum = 0;
  double maximum = 0;
};

struct Schema {
  std::string name;
  std::string description;
  // Of IDX files: then csv, keep and columns are empty, and a label's byte is
  // the number of its class. Bytes are scaled to [-1, 1].
  std::optional<ImageFormat> images;
  // Of text files: the same; a file is a row, and its folder names its class.
  std::optional<TextFormat> text;
  CsvFormat csv;
  std::optional<Expression> keep;
  std::vector<InputColumn> columns;
  LabelRule label;
  std::optional<std::int64_t> public_size;  // Of a shard; else prep rounds.
  // Of all statistics together; 0 = none are wanted.
  double statistics_noise = 0;
};

// Throws: FileError "FILE:LINE: what is wrong, what is allowed".
Schema LoadSchema(const std::filesystem::path& path);
// `path` is only for the messages.
Schema ParseSchema(std::string_view text, const std::filesystem::path& path);

// The columns and the label that shards of this schema have.
std::vector<ShardColumn> ShardColumns(const Schema& schema);
ShardLabel MakeShardLabel(const Schema& schema);

}  // namespace hearsay::model::prep
