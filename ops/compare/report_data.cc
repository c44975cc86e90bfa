#include <algorithm>
#include <set>

#include "ops/compare/report_parts.h"

namespace hearsay::ops {
namespace {

// Of the cell's way to mix: rule and topology.
int IndexOf(std::vector<std::string>& known, const std::string& word) {
  const auto found = std::find(known.begin(), known.end(), word);
  if (found != known.end()) return static_cast<int>(found - known.begin());
  known.push_back(word);
  return static_cast<int>(known.size()) - 1;
}

double ValueOn(Axis axis, const MatrixCell& cell) {
  switch (axis) {
    case Axis::kStraggler:
      return cell.straggler;
    case Axis::kNodes:
      return cell.nodes;
    case Axis::kResync:
      return static_cast<double>(cell.resync);
  }
  return 0;
}

bool Varies(Axis axis, const Varying& varying) {
  switch (axis) {
    case Axis::kStraggler:
      return varying.straggler;
    case Axis::kNodes:
      return varying.nodes;
    case Axis::kResync:
      return varying.resync;
  }
  return false;
}

MatrixCell Without(Axis axis, MatrixCell cell) {
  const MatrixCell usual;
  if (axis == Axis::kStraggler) cell.straggler = usual.straggler;
  if (axis == Axis::kNodes) cell.nodes = usual.nodes;
  if (axis == Axis::kResync) cell.resync = usual.resync;
  return cell;
}

}  // namespace

ReportData ReportDataOf(const Results& results) {
  ReportData data{.results = &results, .varying = {}, .naming = {}, .ran = {}};
  std::vector<MatrixCell> all;
  std::vector<MatrixCell> that_ran;
  for (const auto& result : results.cells) {
    all.push_back(result.cell);
    if (result.ran()) that_ran.push_back(result.cell);
  }
  data.varying = VaryingOf(that_ran);
  data.naming = VaryingOf(all);
  std::vector<std::string> ways;
  std::vector<std::string> variants;
  for (const auto& result : results.cells) {
    if (!result.ran()) continue;
    const MatrixCell& cell = result.cell;
    Ran ran{.result = &result,
            .label = LabelOf(cell, data.naming),
            .colour = 0,
            .dash = 0,
            .summary = Summarise(result, results.target_accuracy)};
    const bool one_way_to_mix =
        !data.varying.rule && !data.varying.topology && !data.varying.name;
    const std::string way = cell.rule + " " + cell.topology + " " + cell.name;
    ran.colour = IndexOf(ways, one_way_to_mix ? ran.label : way);
    if (!one_way_to_mix) {
      Varying others = data.naming;
      others.rule = others.topology = others.name = false;
      ran.dash = IndexOf(variants, LabelOf(cell, others));
    }
    data.ran.push_back(std::move(ran));
  }
  return data;
}

std::vector<Family> FamiliesAlong(const ReportData& data, Axis axis) {
  std::vector<Family> families;
  if (!Varies(axis, data.varying)) return families;
  std::vector<MatrixCell> known;
  Varying rest = data.naming;
  if (axis == Axis::kStraggler) rest.straggler = false;
  if (axis == Axis::kNodes) rest.nodes = false;
  if (axis == Axis::kResync) rest.resync = false;
  for (const auto& ran : data.ran) {
    const MatrixCell cell = Without(axis, ran.result->cell);
    const auto found = std::find(known.begin(), known.end(), cell);
    if (found == known.end()) {
      const bool alone = !rest.rule && !rest.topology && !rest.nodes &&
                         !rest.resync && !rest.straggler && !rest.kill &&
                         !rest.name;
      families.push_back({.label = alone ? cell.rule : LabelOf(cell, rest),
                          .colour = static_cast<int>(families.size()),
                          .members = {}});
      known.push_back(cell);
    }
    auto& family = families[static_cast<std::size_t>(
        std::find(known.begin(), known.end(), cell) - known.begin())];
    family.members.emplace_back(ValueOn(axis, ran.result->cell), &ran);
  }
  for (auto& family : families)
    std::sort(family.members.begin(), family.members.end());
  return families;
}

std::vector<double> ValuesOf(const std::vector<Family>& families) {
  std::set<double> values;
  for (const auto& family : families)
    for (const auto& [value, ran] : family.members) values.insert(value);
  return {values.begin(), values.end()};
}

std::vector<double> SecondsOf(const CellResult& result) {
  std::vector<double> seconds;
  for (const auto& sample : result.samples) seconds.push_back(sample.seconds);
  return seconds;
}

}  // namespace hearsay::ops
