#include "ops/compare/data.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/prep/prepare.h"
#include "model/prep/synth.h"

namespace hearsay::ops {

namespace fs = std::filesystem;
namespace prep = model::prep;

CompareData::CompareData(const Recipe& recipe, fs::path dir)
    : recipe_(recipe), dir_(std::move(dir)) {}

fs::path CompareData::Table() {
  if (!table_.empty()) return table_;
  if (recipe_.synth_rows == 0) return table_ = recipe_.data_path;
  fs::create_directories(dir_);
  table_ = dir_ / "people.csv";
  prep::SynthOptions synth;
  synth.rows = recipe_.synth_rows;
  synth.out = table_;
  prep::SynthesizePums(synth);
  return table_;
}

const CellData& CompareData::For(int nodes) {
  if (const auto found = made_.find(nodes); found != made_.end())
    return found->second;
  CellData data;
  if (recipe_.schema.empty()) {
    data.shards = recipe_.data_path;
    return made_[nodes] = data;
  }
  prep::PrepareOptions options;
  options.schema = prep::LoadSchema(recipe_.schema);
  options.inputs = {Table()};
  options.eval_fraction = recipe_.eval_fraction;
  options.partition = prep::ParsePartition(recipe_.partition);
  options.shards = nodes;
  options.replace = true;
  options.out = dir_ / fmt::format("shards-{}", nodes);
  const auto report = prep::Prepare(options);
  data.shards = options.out;
  std::size_t rows = 0;
  for (const auto& part : report.parts) rows += part.rows;
  // Rounded as prep rounds what it publishes.
  if (recipe_.equal_shards())
    data.public_size =
        std::max<std::int64_t>(1, prep::RoundPublicSize(rows) / nodes);
  return made_[nodes] = data;
}

}  // namespace hearsay::ops
