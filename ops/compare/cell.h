// One cell of a comparison: what differs between two runs. Everything else is
// the same in all of them. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hearsay::ops {

struct MatrixCell {
  int nodes = 4;
  // Words of hearsayd.toml, for the daemon to judge.
  std::string rule = "pairwise";
  std::string topology = "ring";
  std::uint64_t resync = 0;  // resync.every_steps; 0 = off
  double straggler = 1;      // how many times slower the last node is
  std::string kill;          // "b@4s": kill b so long after the first step
  // "section.key=value" that this way to mix needs, and a name for it.
  std::vector<std::string> set = {};
  std::string name = {};

  bool operator==(const MatrixCell&) const = default;
};

struct Kill {
  std::string node;
  std::chrono::microseconds at{0};
};

// Nothing for "". Throws: std::invalid_argument.
std::optional<Kill> ParseKill(const std::string& text);

// The axes of one [[matrix]]: every combination is a cell.
struct Axes {
  std::vector<int> nodes;
  std::vector<std::string> rule;
  std::vector<std::string> topology;
  std::vector<std::uint64_t> resync;
  std::vector<double> straggler;
  std::vector<std::string> kill;
  // Not axes: of all its cells.
  std::vector<std::string> set = {};
  std::string name = {};
};

// All combinations, each once, rules outermost.
std::vector<MatrixCell> Expand(const std::vector<Axes>& matrices);

// Fit for a folder, and different for different cells of one comparison:
// "pairwise-ring-n4-x10".
std::vector<std::string> IdsOf(const std::vector<MatrixCell>& cells);

// Which axes take several values: only those tell cells apart.
struct Varying {
  bool nodes = false, rule = false, topology = false, resync = false,
       straggler = false, kill = false, name = false;
};
Varying VaryingOf(const std::vector<MatrixCell>& cells);

// For people: "pairwise, 10x slower". All of it if nothing varies.
std::string LabelOf(const MatrixCell& cell, const Varying& varying);

}  // namespace hearsay::ops
