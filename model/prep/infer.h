// A first draft of a schema, from the first rows of a file.
//
// What it says about values is taken from private rows, so every such line is
// marked, and prep refuses the schema until its owner has declared each of them
// public: by looking them up where they are known without the rows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "model/prep/csv.h"

namespace hearsay::model::prep {

struct InferOptions {
  std::filesystem::path file;
  std::string label = "";        // A column; empty: the last.
  std::uint64_t rows = 100'000;  // That are looked at.
};

// The schema's text, with comments. Guesses the separator (of , ; tab |) and
// which spellings stand for a missing value.
// Throws: FileError (not CSV, no rows, one column, no such label).
std::string InferSchema(const InferOptions& options);

}  // namespace hearsay::model::prep
