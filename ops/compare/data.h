// The shards of a comparison: the same records for every number of nodes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>

#include "ops/compare/recipe.h"

namespace hearsay::ops {

struct CellData {
  std::filesystem::path shards;  // part-0.safetensors ..., eval.safetensors
  // Of each node, if compare made the shards and they are equal; otherwise
  // each shard says its own.
  std::optional<std::int64_t> public_size;
};

class CompareData {
 public:
  // What it makes, it makes in `dir`. The recipe must outlive it.
  CompareData(const Recipe& recipe, std::filesystem::path dir);

  // Makes them if this is the first time that so many are asked for.
  // Throws: model::FileError, std::invalid_argument.
  const CellData& For(int nodes);

 private:
  std::filesystem::path Table();

  const Recipe& recipe_;
  const std::filesystem::path dir_;
  std::filesystem::path table_;  // the CSV file; "" before there is one
  std::map<int, CellData> made_;
};

}  // namespace hearsay::ops
