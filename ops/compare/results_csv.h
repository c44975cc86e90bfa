// Results for a spreadsheet: a line a cell (cells.csv), and a line a node and
// moment (samples.csv). RFC 4180; an empty field is a number nobody knows.
#pragma once

#include <string>

#include "ops/compare/results.h"

namespace hearsay::ops {

std::string CellsCsv(const Results& results);
std::string SamplesCsv(const Results& results);

}  // namespace hearsay::ops
