// What a comparison found: plain data, and the numbers that are made of it.
//
// Egress: every field is public (configuration, counts, times on a clock) or
// released (a function of noised weights and the public evaluation set), as
// decision 4 has it. Nothing private is asked of a node.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ops/compare/cell.h"

namespace hearsay::ops {

// One node at one moment.
struct NodeSample {
  std::string state;
  std::uint64_t step = 0;
  double steps_per_second = 0;
  std::optional<double> accuracy;
  std::optional<double> loss;
  std::optional<double> epsilon;
};

struct Sample {
  double seconds = 0;              // since all nodes were ready
  std::optional<double> distance;  // consensus, relative
  // In the order of the nodes; nothing for one that does not answer.
  std::vector<std::optional<NodeSample>> nodes;
};

// One node when its cell ended.
struct NodeEnd {
  std::string name;
  double throttle = 1;
  std::string state;    // last seen
  std::string trouble;  // "was killed at 4 s"; "" if it lived
  std::uint64_t step = 0;
  double samples_per_step = 0;  // expected: sample_rate * public_size
  double sample_rate = 0;
  std::optional<double> noise_multiplier;
  std::optional<double> epsilon;
  double delta = 0;
  // Of the weights that it held at the end, judged here.
  std::optional<double> accuracy;
  std::optional<double> loss;
  std::optional<double> bytes_out;  // of arrays, until the last step
  std::optional<double> bytes_in;

  bool slowed() const { return throttle > 1; }
};

enum class Outcome {
  kComplete,  // every node that it waits for took all its steps
  kShort,     // it ended before that: `why`
  kRefused,   // the daemons do not take this configuration: `why`
  kFailed,    // it could not be run: `why`
};
const char* Word(Outcome outcome);
// Throws: std::invalid_argument.
Outcome ParseOutcome(const std::string& word);

struct CellResult {
  std::string id;
  MatrixCell cell;
  Outcome outcome = Outcome::kFailed;
  std::string why;      // "" if complete
  std::string started;  // UTC, ISO 8601
  double seconds = 0;   // from ready to the last step that was waited for
  std::uint64_t planned_steps = 0;  // of each node
  double planned_samples = 0;       // expected, of all nodes
  // The mean of the weights of all nodes that lived.
  std::optional<double> average_accuracy;
  std::optional<double> average_loss;
  double others_fraction = 0;  // of the machine, taken by other processes
  std::vector<NodeEnd> nodes;
  std::vector<Sample> samples;

  // Its numbers are worth comparing.
  bool ran() const {
    return outcome == Outcome::kComplete || outcome == Outcome::kShort;
  }
};

struct Results {
  std::string title;
  std::string conditions;  // Recipe::Conditions
  std::string recipe;      // the file's text
  std::string recipe_file;
  std::string command;
  std::string version;  // of hearsay
  std::string cpu;
  unsigned cores = 0;
  std::string written;  // UTC, ISO 8601
  std::optional<double> target_accuracy;
  std::vector<CellResult> cells;
};

// What the tables and the charts show of a cell.
struct Summary {
  std::optional<double> accuracy;  // mean of the nodes that lived
  std::optional<double> worst;
  std::optional<double> seconds_to_target;
  std::optional<double> samples_to_target;
  double samples = 0;  // expected, all nodes, those that died included
  // Of the nodes that nobody slowed or killed, while they trained.
  std::optional<double> healthy_steps_per_second;
  // Consensus, in the second half of the training: its median.
  std::optional<double> distance;
  std::optional<double> bytes_per_node;
  std::optional<double> epsilon;  // the largest of any node
};
Summary Summarise(const CellResult& result,
                  std::optional<double> target_accuracy);

// Over the nodes that answer; nothing if none of them knows.
std::optional<double> MeanAccuracy(const Sample& sample);
std::optional<double> WorstAccuracy(const Sample& sample);
// Expected samples until then: a node that is gone counts what it last said.
std::vector<double> SamplesSoFar(const CellResult& result);
// Steps of each node until then, the same way.
std::vector<std::vector<std::uint64_t>> StepsSoFar(const CellResult& result);

}  // namespace hearsay::ops
