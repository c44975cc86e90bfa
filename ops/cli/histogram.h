// How the rows of a shard are spread, for its owner's eyes: the counts are
// private, and `hearsay inspect` reads local files only.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/shard.h"

namespace hearsay::ops {

struct ShardHistograms {
  // Of each column: rows in each category; of a numeric one in ten bins between
  // its bounds.
  std::vector<std::vector<std::uint64_t>> columns;
  // In each class; of a regression in ten bins.
  std::vector<std::uint64_t> label;
};

ShardHistograms CountRows(const model::Shard& shard);

// A line for each name: "    female  1234  ######".
std::string Bars(const std::vector<std::string>& names,
                 const std::vector<std::uint64_t>& counts);

// "0 to 5", "5 to 10", ...
std::vector<std::string> BinNames(double minimum, double maximum,
                                  std::size_t bins);

}  // namespace hearsay::ops
