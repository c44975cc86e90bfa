// Which row goes to which shard. Public randomness only (a seed on the command
// line): privacy never rests on how the rows were dealt.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace hearsay::model::prep {

struct Partition {
  enum class Kind {
    kIid,        // shuffled, in equal parts
    kDirichlet,  // each class in shares drawn from Dirichlet(alpha, ...)
    kByColumn,   // rows of one value of a column stay together
    kByFile,     // rows of one input file stay together
  };
  Kind kind = Kind::kIid;
  double alpha = 0;    // kDirichlet: small is uneven. Source: Hsu, Qi, Brown
                       // 2019, arXiv:1909.06335, section 3.
  std::string column;  // kByColumn
};

// "iid", "dirichlet:0.5", "by:COLUMN", "by:file".
// Throws: std::invalid_argument that lists them.
Partition ParsePartition(const std::string& text);

struct Part {
  std::string source;  // "iid 1 of 4", "STATE = WY", "p_56_wy.csv.gz"
  std::vector<std::uint32_t> rows;
};

// What is known of every row, by its index.
struct RowFacts {
  std::span<const float> labels;
  int classes = 0;                       // 0: regression
  std::span<const std::uint32_t> group;  // by column, by file
  std::span<const std::string> groups;   // names
};

// Deals `rows` to `shards` parts, none empty; each row to exactly one.
// shards 0: as many as there are groups, or one. With fewer shards than groups,
// the largest groups are dealt first, each to the part that has fewest rows.
// Throws: std::invalid_argument if that is not possible, and what to change.
std::vector<Part> MakeParts(const Partition& partition, int shards,
                            std::vector<std::uint32_t> rows,
                            const RowFacts& facts, std::mt19937_64& random);

}  // namespace hearsay::model::prep
