// Reads the recipe of a comparison: one TOML file that says what differs
// ([[matrix]]), what the nodes have in common ([nodes.*], any sections of
// hearsayd.toml), and how cells are run and judged ([compare]).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ops/compare/cell.h"

namespace hearsay::ops {

struct Recipe {
  std::filesystem::path file;
  std::string text;

  std::string title;
  std::string backend = "daemons";  // | sim

  // "synth:ROWS", a CSV file for prep, or a folder of shards.
  std::string data;
  std::int64_t synth_rows = 0;      // of "synth:ROWS"
  std::filesystem::path data_path;  // absolute; "" for synth
  std::filesystem::path schema;     // for prep; "" if data is a folder
  double eval_fraction = 0.2;       // of the rows: declared public
  std::string partition = "iid";

  std::chrono::microseconds sample_every = std::chrono::milliseconds(250);
  std::chrono::microseconds time_limit = std::chrono::seconds(60);
  std::chrono::microseconds stalled_after = std::chrono::seconds(10);
  // What averaging goes on for between the last step and the judgement.
  std::chrono::microseconds settle = std::chrono::seconds(1);
  // Until the nodes that are not slowed down have finished, or all of them.
  enum class Until { kAll, kHealthy } until = Until::kAll;
  std::optional<double> target_accuracy;

  std::vector<MatrixCell> cells;
  std::vector<std::string> ids;  // of each cell

  // "section.key=value" as for `hearsay up --set`.
  std::vector<std::string> node_settings;

  // What is prepared here has equal shards, so cells of any size have one
  // public size between them.
  bool equal_shards() const { return !schema.empty() && partition == "iid"; }

  // A complaint about one of node_settings, told as the recipe's line; any
  // other as it is.
  std::string Explain(const std::string& complaint) const;

  // Everything that a finished cell's numbers depend on beside the cell, as
  // text: results of other conditions are not of this comparison.
  std::string Conditions() const;
};

// Throws: daemon::ConfigError ("FILE:LINE: key: what").
Recipe ReadRecipe(const std::filesystem::path& file);

}  // namespace hearsay::ops
