// What threads found in the blocks of the input, put together in its order.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "model/prep/expression.h"  // RowFault
#include "model/prep/partition.h"
#include "model/prep/row_store.h"

namespace hearsay::model::prep {

inline constexpr std::size_t kFirstBad = 10;
inline constexpr std::size_t kMaxGroups = 1000;

// What was read, and what of it was of no use.
struct LoadCounts {
  std::uint64_t read = 0;                          // records
  std::uint64_t left_out = 0;                      // by the schema's keep
  std::uint64_t dropped = 0;                       // by missing = "drop"
  std::array<std::uint64_t, kRowFaults> faults{};  // by RowFault
  std::vector<std::string> first_bad;  // kFirstBad at most, with their places.

  std::uint64_t bad() const;
  void Refuse(RowFault fault, const std::string& what);
  // `later` comes behind in the input.
  void Add(const LoadCounts& later);
};

// A stratum has a number of its own in each block: always 0, or the row's
// class, or where rows are dealt by a column, RowBlock::groups.
struct BlockFacts {
  LoadCounts counts;
  std::vector<std::uint64_t> rows;  // Of each stratum.
  std::vector<std::string> groups;  // Its name, where dealt by a column.
};

// Where the first row of a block's stratum stands.
struct StratumRun {
  std::uint32_t stratum = 0;  // Of StratumCounts.
  std::uint64_t rank = 0;
};

struct Loaded {
  LoadCounts counts;
  StratumCounts strata;
  std::uint64_t rows = 0;
  // Of each block of the store, by the block's own numbers.
  std::vector<std::vector<StratumRun>> runs;
};

class Gathering {
 public:
  // `classes`: of the label. Requires: `files` and `store` outlive it.
  Gathering(const Partition& partition, std::size_t classes,
            const std::vector<std::filesystem::path>& files, RowStore& store);

  // Any thread.
  void Add(const RowBlock& block, BlockFacts facts);
  // From here on only files before this one are of interest.
  void Fail(BlockPlace place, std::exception_ptr error);
  bool IsWanted(std::size_t file) const { return file < failed_file_; }

  // Number of a row's stratum within its block.
  std::size_t StratumOf(float label, std::uint32_t group) const {
    return strata_ == Partition::Strata::kClass
               ? static_cast<std::size_t>(label)
               : group;
  }
  // As many strata as a block has at least.
  std::size_t block_strata() const;

  // Once all threads are done. Throws: what failed first in the input;
  // FileError: a file without rows; std::invalid_argument: too many groups.
  Loaded Finish();

 private:
  void CheckRead(const std::vector<std::uint64_t>& read) const;

  const Partition& partition_;
  const Partition::Strata strata_;
  const std::size_t classes_;
  const std::vector<std::filesystem::path>& files_;
  RowStore& store_;
  std::mutex mutex_;
  std::vector<std::pair<BlockPlace, BlockFacts>> facts_;
  BlockPlace failed_at_;
  std::exception_ptr failure_;
  std::atomic<std::size_t> failed_file_ = SIZE_MAX;
};

[[noreturn]] void FailGroups(const std::string& column);

struct Progress {
  std::filesystem::path file;
  std::uint64_t rows_read = 0;    // of all files
  std::uint64_t bytes_read = 0;   // of all files, as they lie on disk
  std::uint64_t bytes_total = 0;  // 0: not known
};

// Adds up what threads did, and tells.
class ProgressMeter {
 public:
  ProgressMeter(const std::vector<std::filesystem::path>& files,
                const std::function<void(const Progress&)>& tell);
  // Any thread.
  void Advance(const std::filesystem::path& file, std::uint64_t rows,
               std::uint64_t bytes);

 private:
  const std::function<void(const Progress&)>& tell_;
  std::mutex mutex_;
  Progress progress_;
};

}  // namespace hearsay::model::prep
