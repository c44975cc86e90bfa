// A whole comparison: which cells are still to be run, running them, and the
// files that tell of them, written anew after each:
//
// DIR/results.json  everything, and what a later run goes on from
// DIR/cells.csv     a line a cell
// DIR/samples.csv   a line a node and moment
// DIR/report.html   for people
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ops/compare/recipe.h"
#include "ops/compare/results.h"

namespace hearsay::ops {

struct CompareOptions {
  std::filesystem::path recipe;
  std::filesystem::path out;
  std::vector<std::string> only;  // patterns of cells' ids; empty: all
  bool again = false;             // run finished cells too
  std::string command;            // for the report
};

// The cells of the recipe that one of `only` means, by index.
// Throws: Exit(kUsage) for a pattern that means none.
std::vector<std::size_t> Chosen(const Recipe& recipe,
                                const std::vector<std::string>& only);

// Throws: Exit; Interrupted, with the files of what was finished in place.
Results Compare(const Recipe& recipe, const CompareOptions& options);

}  // namespace hearsay::ops
