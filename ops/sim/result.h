// What came of a simulation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hearsay::sim {

struct Sample {
  double time = 0;
  double steps = 0;               // mean over nodes
  double error = 0;               // of the mean of all nodes, root mean square
  double consensus = 0;           // distance from the mean, over its norm
  double variance = 0;            // the same squared, a weight and node
  double bytes = 0;               // sent, a node
  double loss = 0, accuracy = 0;  // kClassify: of the mean
  double worst_accuracy = 0;      // of the first, middle and last node
  std::vector<double> mean;       // its first elements
  // With Settings::each_node:
  std::vector<std::uint64_t> node_steps;
  std::vector<double> node_accuracy;
  std::vector<bool> node_alive;
};

struct NodeTotals {
  std::uint64_t steps = 0;
  bool alive = true;
  double bytes = 0;     // sent
  std::string failure;  // of its training; "" if none
};

struct Result {
  std::vector<Sample> samples;
  std::vector<NodeTotals> nodes;
  std::uint64_t events = 0;
  std::uint64_t exchanges = 0;  // asked and answered
  std::uint64_t failed = 0;
  std::uint64_t one_sided = 0;  // corrected at one end only
  std::uint64_t messages = 0;
  std::uint64_t resyncs = 0;
  double virtual_seconds = 0;
  double wall_seconds = 0;
};

// The time in which the error of the mean halves, by regression over the
// samples between two times. Requires: two samples with an error there.
double HalvingTime(const Result& result, double from, double to);

// Averages over the samples from a time on.
double MeanVariance(const Result& result, double from);
std::vector<double> MeanOfMeans(const Result& result, double from);
// The variance of element 0 of the mean, over the samples from a time on.
double VarianceOfMean(const Result& result, double from);

}  // namespace hearsay::sim
