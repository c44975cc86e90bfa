// Which row goes to which shard. Public randomness only (a seed on the command
// line): privacy never rests on how the rows were dealt.
//
// Rows fall into strata (all of them, those of a class, those of a group). In a
// stratum each row has a place in a pseudo-random order; the first places are
// the evaluation's, and the rest is cut into intervals, each of which is a
// part's. So where a row goes depends on its stratum, its rank there and the
// counts of all strata: rows can be dealt in any order, by any number of
// threads, without ever being in memory together.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/prep/permutation.h"

namespace hearsay::model::prep {

struct Partition {
  enum class Kind {
    kIid,        // equal parts
    kQuantity,   // sizes drawn from Dirichlet(alpha, ...), else alike
    kDirichlet,  // each class in shares drawn from Dirichlet(alpha, ...)
    kLabels,     // sorted by label and cut into slices, `slices` to a part
    kByColumn,   // rows of one value of a column stay together
    kByFile,     // rows of one input file stay together
  };
  enum class Strata { kNone, kClass, kGroup };
  Strata strata() const;

  Kind kind = Kind::kIid;
  double alpha = 0;  // kDirichlet, kQuantity: small is uneven. Source: Hsu, Qi,
                     // Brown 2019, arXiv:1909.06335, section 3.
  int slices = 0;    // kLabels. Source: McMahan et al. 2017, arXiv:1602.05629.
  std::string column;  // kByColumn
};

// "iid", "dirichlet:0.5", "quantity:0.5", "labels:2", "by:COLUMN", "by:file".
// Throws: std::invalid_argument that lists them.
Partition ParsePartition(const std::string& text);

// Rows in each stratum, and of groups the names.
struct StratumCounts {
  std::vector<std::uint64_t> rows;
  std::vector<std::string> names;
};

class Deal {
 public:
  // Instead of a part's number.
  static constexpr std::uint32_t kEvaluation = UINT32_MAX;

  struct Part {
    std::string source;  // "iid 1 of 4", "STATE = WY", "p_56_wy.csv.gz"
    std::uint64_t rows = 0;
  };

  // Parts are never empty. shards 0: as many as there are groups, or one. With
  // fewer shards than groups, the largest groups are dealt first, each to the
  // part that has fewest rows. Throws: std::invalid_argument if that is not
  // possible, and what to change.
  Deal(const Partition& partition, int shards, double eval_fraction,
       std::uint64_t seed, const StratumCounts& counts);

  const std::vector<Part>& parts() const { return parts_; }
  Partition::Strata strata() const { return kind_; }
  std::uint64_t evaluation_rows() const { return evaluation_rows_; }

  // Where the row goes that is the rank-th of its stratum.
  std::uint32_t operator()(std::size_t stratum, std::uint64_t rank) const {
    std::uint32_t owner = 0;
    Assign(stratum, rank, {&owner, 1});
    return owner;
  }
  // owners[i]: where the (first + i)-th of its stratum goes.
  void Assign(std::size_t stratum, std::uint64_t first,
              std::span<std::uint32_t> owners) const;

 private:
  struct Stratum {
    Permutation order;
    std::uint64_t rows = 0;
    std::uint64_t evaluation = 0;       // The first places.
    std::vector<std::uint64_t> ends;    // Places behind each interval ...
    std::vector<std::uint32_t> owners;  // ... and the part that it is of.
    bool whole = false;
    void Add(std::uint64_t rows, std::uint32_t part);
    std::uint32_t OwnerOf(std::uint64_t place) const;
  };

  void TakeEvaluation(double fraction);
  void Name(const std::string& what, std::size_t count);
  // Cuts all strata at the same shares.
  void Cut(std::span<const double> shares, Stratum& stratum);
  void ByGroup(std::size_t shards, const std::vector<std::string>& names);
  void ByLabels(std::size_t count, std::size_t slices, std::uint64_t seed);
  void ByDirichlet(const Partition& partition, std::size_t count,
                   std::uint64_t seed);
  bool AllFilled();

  Partition::Strata kind_;
  std::vector<Stratum> strata_;
  std::vector<Part> parts_;
  std::uint64_t training_rows_ = 0;
  std::uint64_t evaluation_rows_ = 0;
};

}  // namespace hearsay::model::prep
