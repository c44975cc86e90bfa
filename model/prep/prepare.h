// `hearsay prep`: CSV or IDX files and a schema in, shards out.
//
// One pass over the input; memory is the encoded rows (a byte or a float a
// column), one more copy of the shard being written, and a block of the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/prep/partition.h"
#include "model/prep/schema.h"

namespace hearsay::model::prep {

struct Progress {
  std::filesystem::path file;
  std::uint64_t rows_read = 0;    // of all files
  std::uint64_t bytes_read = 0;   // of all files, as they lie on disk
  std::uint64_t bytes_total = 0;  // 0: not known
};

struct PrepareOptions {
  Schema schema;
  // Of images: pairs of files, images and then their labels.
  std::vector<std::filesystem::path> inputs;
  // Declared public: either files of their own, or a share of the inputs' rows.
  std::vector<std::filesystem::path> eval_inputs;
  double eval_fraction = 0;
  std::filesystem::path out;
  Partition partition;
  int shards = 0;  // 0: one a group, or one
  std::uint64_t seed = 1;
  bool skip_bad = false;  // Drop and count bad rows instead of failing.
  bool replace = false;   // Remove the shards of an earlier run from `out`.
  std::optional<std::int64_t> public_size;  // Else the schema's, else rounded.
  std::function<void(const Progress&)> progress;  // Now and then; may be empty.
};

struct PartReport {
  std::filesystem::path file;
  std::string source;
  std::size_t rows = 0;
  std::vector<std::size_t> class_counts;  // Empty: regression.
  std::int64_t public_size = 0;
  std::uint64_t bytes = 0;
};

struct PrepareReport {
  std::vector<PartReport> parts;
  std::optional<PartReport> eval;
  std::uint64_t read = 0;      // records
  std::uint64_t left_out = 0;  // by the schema's keep
  std::uint64_t bad = 0;
  std::vector<std::string> first_bad;  // The first few, with their places.
  int features = 0;
  std::vector<std::string> classes;
  std::string fingerprint;
};

// Writes out/part-0.safetensors, part-1 ... and, if asked for,
// eval.safetensors. Either all of them or, after an error, none. Throws:
// FileError (an input, a row, the output), std::invalid_argument (options that
// contradict each other or the data).
PrepareReport Prepare(const PrepareOptions& options);

// To two significant digits, as public sizes are: 12737 -> 13000.
std::int64_t RoundPublicSize(std::size_t rows);

}  // namespace hearsay::model::prep
