// Statistics of private rows that a schema asks for where its owner knows no
// tight bounds, or not which categories are rare: a row count, means and mean
// squares of numeric columns, counts of categories.
//
// What is here sums integers and has no noise: a record adds one vector of
// integers, whose Euclidean length is at most the grid's reach, whatever the
// record holds. Who calls it pays, adds noise of a multiple of that reach, and
// gives the noised sums back for what columns are made of (ops/decisions/0029).
//
// Units: 1 (a row; a number at a bound of its column) is `unit` grid steps.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/prep/encoded_rows.h"
#include "model/prep/prepare.h"
#include "model/prep/schema.h"

namespace hearsay::model::prep {

// One sum for the rows; two for each numeric column, x and x^2 with x in
// [-1, 1] between the declared bounds; one for each declared category.
class StatisticsGrid {
 public:
  // `reach`: the length, in grid steps, that no record's vector exceeds.
  // Requires: schema.statistics_noise > 0, reach below 2^31; `schema` outlives
  // it. Throws: std::invalid_argument: so coarse a grid that nothing fits.
  StatisticsGrid(const Schema& schema, std::int64_t reach);

  std::size_t size() const { return size_; }
  std::int64_t unit() const { return unit_; }
  // How long a record's vector may be, in units: the noise of every sum is the
  // multiplier times that.
  double sensitivity() const;

  // Adds what the rows, encoded by `schema`, contribute. Any thread.
  void Add(const RowView& rows, std::span<std::int64_t> sums) const;

 private:
  struct Numeric {
    std::size_t value = 0;  // which of a row's values
    std::size_t sum = 0;    // where its two sums are
  };
  struct Counted {
    std::size_t code = 0;
    std::size_t sum = 0;
    std::size_t categories = 0;
  };

  const Schema& schema_;
  std::int64_t unit_ = 0;
  std::size_t size_ = 1;
  std::size_t length_ = 1;  // squared, in units
  std::vector<Numeric> numeric_;
  std::vector<Counted> counted_;
};

// Of all rows that the inputs have for training, by the schema's declared
// bounds. Egress: private. Throws: as Prepare.
std::vector<std::int64_t> SumStatistics(const PrepareOptions& options,
                                        const StatisticsGrid& grid);

// What noised sums say of one column. Egress: released.
struct ColumnStatistics {
  std::string name;
  // Numeric; rounded nowhere, as training uses it.
  double mean = 0;
  double deviation = 0;
  double minimum = 0;
  double maximum = 0;
  // Categorical.
  std::vector<double> counts = {};  // as noised, of all that were declared
  std::vector<std::string> kept = {};
  bool operator==(const ColumnStatistics&) const = default;
};

// Pure. A deviation is never below what the noise alone makes of it: noise is
// no reason for narrow bounds. Requires: sums of `grid`, of `schema`.
std::vector<ColumnStatistics> ReadStatistics(
    const Schema& schema, const StatisticsGrid& grid,
    std::span<const std::int64_t> noised);

// The schema that wants none any more. Throws: std::invalid_argument where the
// statistics are not of these columns.
Schema Resolve(const Schema& schema,
               const std::vector<ColumnStatistics>& statistics);

}  // namespace hearsay::model::prep
