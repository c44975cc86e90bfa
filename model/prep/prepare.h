// `hearsay prep`: CSV or IDX files and a schema in, shards out.
//
// One pass over the input, by all threads; encoded rows (a byte or a float a
// column) wait in memory, and beyond a limit in a file, for what is dealt to
// them once all are counted. So memory is bounded whatever the input's size,
// and what is written does not depend on the number of threads.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/prep/gather.h"
#include "model/prep/partition.h"
#include "model/prep/schema.h"

namespace hearsay::model::prep {

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
  int threads = 1;
  bool strict = false;   // Fail at the first bad row instead of counting it.
  bool replace = false;  // Remove the shards of an earlier run from `out`.
  bool find_duplicates = false;
  std::optional<std::int64_t> public_size;  // Else the schema's, else rounded.
  // Of statistics that the schema's columns have been resolved by: for the
  // shards that nodes train on. Requires: a schema that wants none.
  std::vector<ShardCharge> charges = {};
  std::string statistics = {};
  // Encoded rows beyond it lie in a file in `out` meanwhile.
  std::uint64_t memory_bytes = std::uint64_t{256} << 20;
  std::size_t block_bytes = kCsvBlockBytes;  // Of text, taken by a thread.
  // Now and then, by one thread at a time; may be empty.
  std::function<void(const Progress&)> progress;
};

struct PartReport {
  std::filesystem::path file;
  std::string source;
  std::uint64_t rows = 0;
  std::vector<std::uint64_t> class_counts;  // Empty: regression.
  std::int64_t public_size = 0;
  std::uint64_t bytes = 0;
};

// Records that are equal to the byte. Egress: private.
struct Duplicates {
  std::uint64_t records = 0;  // that came before in the input
  std::uint64_t across = 0;   // of these, in another shard than the first
};

struct PrepareReport {
  std::vector<PartReport> parts;
  std::optional<PartReport> eval;
  LoadCounts counts;
  std::optional<Duplicates> duplicates;
  std::uint64_t spilled_bytes = 0;
  int features = 0;
  std::vector<std::string> classes;
  std::string fingerprint;
};

// Writes out/part-0.safetensors, part-1 ... and, if asked for,
// eval.safetensors; and partition.json, which says how rows were dealt and, as
// it counts them, is for its owner's eyes (mode 0600). Either all of them or,
// after an error, none. Throws: FileError (an input, a row, the output),
// std::invalid_argument (options that contradict each other or the data).
PrepareReport Prepare(const PrepareOptions& options);

// What can be said of options before anything is read.
// Throws: std::invalid_argument.
void CheckOptions(const PrepareOptions& options);

// To two significant digits, as public sizes are: 12737 -> 13000.
std::int64_t RoundPublicSize(std::uint64_t rows);

// "wrong number of fields", ...
const char* Describe(RowFault fault);

}  // namespace hearsay::model::prep
