#include "ops/compare/cell.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <stdexcept>

#include "daemon/config.h"

namespace hearsay::ops {

std::optional<Kill> ParseKill(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto at = text.find('@');
  if (at == std::string::npos || at == 0)
    throw std::invalid_argument(
        fmt::format("\"{}\" is not NODE@TIME, such as \"b@4s\"", text));
  return Kill{text.substr(0, at), daemon::ParseDuration(text.substr(at + 1))};
}

std::vector<MatrixCell> Expand(const std::vector<Axes>& matrices) {
  std::vector<MatrixCell> cells;
  const auto add = [&](const MatrixCell& cell) {
    if (std::find(cells.begin(), cells.end(), cell) == cells.end())
      cells.push_back(cell);
  };
  for (const auto& axes : matrices)
    for (const auto& rule : axes.rule)
      for (const auto& topology : axes.topology)
        for (const auto resync : axes.resync)
          for (const auto straggler : axes.straggler)
            for (const auto& kill : axes.kill)
              for (const int nodes : axes.nodes)
                add({nodes, rule, topology, resync, straggler, kill, axes.set,
                     axes.name});
  return cells;
}

std::vector<std::string> IdsOf(const std::vector<MatrixCell>& cells) {
  std::vector<std::string> ids;
  std::set<std::string> taken;
  for (const auto& cell : cells) {
    std::string id =
        fmt::format("{}-{}-n{}", cell.rule, cell.topology, cell.nodes);
    if (cell.resync > 0) id += fmt::format("-k{}", cell.resync);
    if (cell.straggler > 1) id += fmt::format("-x{}", cell.straggler);
    if (!cell.kill.empty()) id += "-kill-" + cell.kill;
    if (!cell.name.empty()) id += "-" + cell.name;
    for (char& c : id)
      if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' &&
          c != '.' && c != '@')
        c = '_';
    const std::string base = id;
    for (int again = 2; !taken.insert(id).second; ++again)
      id = fmt::format("{}-{}", base, again);
    ids.push_back(id);
  }
  return ids;
}

Varying VaryingOf(const std::vector<MatrixCell>& cells) {
  Varying varying;
  for (const auto& cell : cells) {
    const auto& first = cells.front();
    varying.nodes |= cell.nodes != first.nodes;
    varying.rule |= cell.rule != first.rule;
    varying.topology |= cell.topology != first.topology;
    varying.resync |= cell.resync != first.resync;
    varying.straggler |= cell.straggler != first.straggler;
    varying.kill |= cell.kill != first.kill;
    varying.name |= cell.name != first.name;
  }
  return varying;
}

std::string LabelOf(const MatrixCell& cell, const Varying& varying) {
  const bool none = !varying.nodes && !varying.rule && !varying.topology &&
                    !varying.resync && !varying.straggler && !varying.kill &&
                    !varying.name;
  std::vector<std::string> words;
  if (varying.rule || none) words.push_back(cell.rule);
  if (varying.topology || none) words.push_back(cell.topology);
  if (varying.nodes || none) words.push_back(fmt::format("n={}", cell.nodes));
  if (varying.resync)
    words.push_back(cell.resync > 0 ? fmt::format("k={}", cell.resync)
                                    : "no resync");
  if (varying.straggler)
    words.push_back(cell.straggler > 1
                        ? fmt::format("one {}x slower", cell.straggler)
                        : "all equal");
  if (varying.name && !cell.name.empty()) words.push_back(cell.name);
  if (varying.kill)
    words.push_back(cell.kill.empty() ? "all live" : "kill " + cell.kill);
  return fmt::format("{}", fmt::join(words, ", "));
}

}  // namespace hearsay::ops
