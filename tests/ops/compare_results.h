// Hand-made results whose numbers a test can foresee.
#pragma once

#include <string>

#include "ops/compare/results.h"

namespace hearsay::tests {

// Two nodes of ten steps of four samples, the second of them slowed if the cell
// says so; samples each second, accuracy 0.5, 0.6, 0.7, ...
inline ops::CellResult HandMade(const std::string& id,
                                const ops::MatrixCell& cell) {
  ops::CellResult result;
  result.id = id;
  result.cell = cell;
  result.cell.nodes = 2;
  result.outcome = ops::Outcome::kComplete;
  result.started = "2026-01-02T03:04:05Z";
  result.seconds = 3;
  result.planned_steps = 10;
  result.planned_samples = 80;
  result.average_accuracy = 0.85;
  result.average_loss = 0.25;
  result.nodes.resize(2);
  for (std::size_t i = 0; i < 2; ++i) {
    auto& node = result.nodes[i];
    node.name = i == 0 ? "a" : "b";
    node.throttle = i == 0 ? 1 : cell.straggler;
    node.state = "finished";
    node.step = 10;
    node.samples_per_step = 4;
    node.sample_rate = 0.25;
    node.noise_multiplier = 1.5;
    node.epsilon = i == 0 ? 0.5 : 0.75;
    node.delta = 1e-5;
    node.accuracy = i == 0 ? 0.9 : 0.8;
    node.loss = 0.25;
    node.bytes_out = i == 0 ? 1000 : 3000;
    node.bytes_in = 2000;
  }
  for (int s = 0; s <= 4; ++s) {
    ops::Sample sample;
    sample.seconds = s;
    sample.distance = 0.5 / (s + 1);
    for (int i = 0; i < 2; ++i) {
      ops::NodeSample node;
      node.state = s < 3 ? "training" : "finished";
      node.step = static_cast<std::uint64_t>(s < 3 ? 4 * s : 10);
      node.steps_per_second = 4;
      node.accuracy = 0.5 + 0.1 * s - 0.01 * i;
      node.loss = 0.75;
      node.epsilon = 0.25;
      sample.nodes.emplace_back(node);
    }
    result.samples.push_back(std::move(sample));
  }
  return result;
}

inline ops::CellResult Refused(const std::string& id, const std::string& why) {
  ops::CellResult result;
  result.id = id;
  result.cell.rule = id;
  result.outcome = ops::Outcome::kRefused;
  result.why = why;
  return result;
}

inline ops::Results HandMadeResults() {
  ops::Results results;
  results.title = "Which?";
  results.conditions = "steps=10\n";
  results.recipe = "[compare]\n";
  results.recipe_file = "r.toml";
  results.command = "hearsay compare r.toml --out d";
  results.version = "0.1.0";
  results.cpu = "A Processor";
  results.cores = 2;
  results.written = "2026-01-02T03:04:05Z";
  results.target_accuracy = 0.59;
  ops::MatrixCell slow;
  slow.straggler = 10;
  results.cells = {HandMade("pairwise-ring-n2", {}),
                   HandMade("pairwise-ring-n2-x10", slow),
                   Refused("other", "mixing.rule: \"other\" is not allowed")};
  return results;
}

}  // namespace hearsay::tests
