#include "model/prep/statistics.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "model/prep/load.h"

namespace hearsay::model::prep {

namespace {

// With 2^31 grid steps a row, sums stay within 63 bits.
constexpr std::uint64_t kMostRows = std::uint64_t{1} << 32;

// Towards zero, so that nothing is longer than it was.
std::int64_t Steps(float value, std::int64_t unit) {
  const double inside = std::clamp(static_cast<double>(value), -1.0, 1.0);
  return static_cast<std::int64_t>(inside * static_cast<double>(unit));
}

ColumnStatistics OfNumbers(const InputColumn& column, double mean,
                           double square, double doubt) {
  mean = std::clamp(mean, -1.0, 1.0);
  // An estimate below what noise alone makes of it says nothing but that.
  const double variance =
      std::clamp(square - mean * mean, std::min(doubt, 1.0), 1.0);
  const double half = (column.maximum - column.minimum) / 2;
  ColumnStatistics found;
  found.name = column.name;
  found.mean = column.minimum + (mean + 1) * half;
  found.deviation = std::sqrt(variance) * half;
  const double reach = *column.deviations * found.deviation;
  found.minimum = std::max(column.minimum, found.mean - reach);
  found.maximum = std::min(column.maximum, found.mean + reach);
  if (!(found.minimum < found.maximum)) {  // So small that it rounds away.
    found.minimum = column.minimum;
    found.maximum = column.maximum;
  }
  return found;
}

}  // namespace

StatisticsGrid::StatisticsGrid(const Schema& schema, std::int64_t reach)
    : schema_(schema) {
  std::size_t codes = 0;
  std::size_t values = 0;
  for (const InputColumn& column : schema.columns) {
    if (column.deviations) {
      numeric_.push_back({values, size_});
      size_ += 2;
      length_ += 2;
    }
    if (column.fold_below) {
      counted_.push_back({codes, size_, column.categories.size()});
      size_ += column.categories.size();
      length_ += 1;
    }
    if (column.kind == InputColumn::Kind::kText)
      codes += column.text.length;
    else if (column.categorical())
      ++codes;
    else
      values += column.missing_indicator ? 2U : 1U;
  }
  const auto longest = static_cast<std::int64_t>(length_);
  unit_ = static_cast<std::int64_t>(static_cast<double>(reach) /
                                    std::sqrt(static_cast<double>(longest)));
  while (unit_ > 0 && unit_ * unit_ > reach * reach / longest) --unit_;
  if (unit_ < 1024)
    throw std::invalid_argument(
        "statistics of so many columns under so much noise would have no "
        "digits left: ask for fewer, or for less noise");
}

double StatisticsGrid::sensitivity() const {
  return std::sqrt(static_cast<double>(length_));
}

void StatisticsGrid::Add(const RowView& rows,
                         std::span<std::int64_t> sums) const {
  if (rows.size() == 0) return;
  const std::size_t value_columns = rows.values.size() / rows.size();
  const std::size_t code_columns = rows.codes.size() / rows.size();
  for (std::size_t row = 0; row < rows.size(); ++row) {
    sums[0] += unit_;
    const float* values = rows.values.data() + row * value_columns;
    for (const Numeric& column : numeric_) {
      const std::int64_t x = Steps(values[column.value], unit_);
      sums[column.sum] += x;
      sums[column.sum + 1] += x * x / unit_;
    }
    const std::uint8_t* codes = rows.codes.data() + row * code_columns;
    for (const Counted& column : counted_)
      // Beyond the declared ones are `other` and `missing`.
      if (codes[column.code] < column.categories)
        sums[column.sum + codes[column.code]] += unit_;
  }
}

std::vector<std::int64_t> SumStatistics(const PrepareOptions& options,
                                        const StatisticsGrid& grid) {
  CheckOptions(options);  // A file given twice would count twice.
  std::error_code ignored;
  std::filesystem::create_directories(options.out, ignored);
  RowStore store(options.out, options.memory_bytes);
  ProgressMeter progress(options.inputs, options.progress);
  const Partition whole;
  const Loaded loaded = Load({.schema = options.schema,
                              .files = options.inputs,
                              .partition = whole,
                              .threads = options.threads,
                              .strict = options.strict,
                              .hashes = false,
                              .block_bytes = options.block_bytes,
                              .progress = progress},
                             store);
  if (loaded.rows > kMostRows)
    throw std::invalid_argument(
        "statistics are of 2^32 rows at most; prepare the files apart, and "
        "give one's statistics to the others by --statistics");
  store.Sort();
  std::vector<std::int64_t> sums(grid.size());
  std::vector<std::byte> room;
  for (std::size_t i = 0; i < store.size(); ++i)
    grid.Add(store.Get(i, room).rows, sums);
  return sums;
}

std::vector<ColumnStatistics> ReadStatistics(
    const Schema& schema, const StatisticsGrid& grid,
    std::span<const std::int64_t> noised) {
  const auto units = [&](std::size_t sum) {
    return static_cast<double>(noised[sum]) / static_cast<double>(grid.unit());
  };
  const double rows = std::max(units(0), 1.0);
  // Of a mean: two standard deviations of its noise.
  const double doubt = 2 * schema.statistics_noise * grid.sensitivity() / rows;
  std::vector<ColumnStatistics> statistics;
  std::size_t sum = 1;
  for (const InputColumn& column : schema.columns) {
    if (column.deviations) {
      statistics.push_back(
          OfNumbers(column, units(sum) / rows, units(sum + 1) / rows, doubt));
      sum += 2;
    }
    if (!column.fold_below) continue;
    ColumnStatistics found;
    found.name = column.name;
    for (const Category& category : column.categories) {
      found.counts.push_back(units(sum++));
      if (found.counts.back() >= *column.fold_below)
        found.kept.push_back(category.name);
    }
    statistics.push_back(std::move(found));
  }
  return statistics;
}

Schema Resolve(const Schema& schema,
               const std::vector<ColumnStatistics>& statistics) {
  Schema resolved = schema;
  resolved.statistics_noise = 0;
  auto next = statistics.begin();
  for (InputColumn& column : resolved.columns) {
    if (!column.wants_statistics()) continue;
    if (next == statistics.end() || next->name != column.name)
      throw std::invalid_argument("the statistics have no column " +
                                  column.name);
    if (column.deviations) {
      if (!(next->minimum < next->maximum && next->minimum >= column.minimum &&
            next->maximum <= column.maximum))
        throw std::invalid_argument("the statistics of column " + column.name +
                                    " are not within its bounds");
      column.minimum = next->minimum;
      column.maximum = next->maximum;
    } else {
      std::erase_if(column.categories, [&](const Category& category) {
        return std::find(next->kept.begin(), next->kept.end(), category.name) ==
               next->kept.end();
      });
    }
    column.deviations.reset();
    column.fold_below.reset();
    ++next;
  }
  if (next != statistics.end())
    throw std::invalid_argument("the statistics have a column " + next->name +
                                " that the schema has not");
  return resolved;
}

}  // namespace hearsay::model::prep
