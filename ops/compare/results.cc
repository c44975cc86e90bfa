#include "ops/compare/results.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

namespace hearsay::ops {
namespace {

constexpr std::array<std::pair<Outcome, const char*>, 4> kOutcomes = {
    {{Outcome::kComplete, "complete"},
     {Outcome::kShort, "short"},
     {Outcome::kRefused, "refused"},
     {Outcome::kFailed, "failed"}}};

// Both ends of the time in which a node was seen training.
struct Stretch {
  double from = 0, to = 0;
  double first_step = 0, last_step = 0;
};

std::optional<Stretch> TrainingOf(const CellResult& result, std::size_t node) {
  std::optional<Stretch> stretch;
  for (const auto& sample : result.samples) {
    const auto& seen = sample.nodes.at(node);
    if (!seen || seen->state != "training") continue;
    const auto step = static_cast<double>(seen->step);
    if (!stretch) stretch = {sample.seconds, 0, step, 0};
    stretch->to = sample.seconds;
    stretch->last_step = step;
  }
  if (stretch && stretch->to <= stretch->from) return std::nullopt;
  return stretch;
}

std::optional<double> HealthyRate(const CellResult& result) {
  double sum = 0;
  int count = 0;
  for (std::size_t i = 0; i < result.nodes.size(); ++i) {
    if (result.nodes[i].slowed() || !result.nodes[i].trouble.empty()) continue;
    const auto stretch = TrainingOf(result, i);
    if (!stretch) continue;
    sum += (stretch->last_step - stretch->first_step) /
           (stretch->to - stretch->from);
    ++count;
  }
  if (count == 0) return std::nullopt;
  return sum / count;
}

std::optional<double> DistanceWhileTraining(const CellResult& result) {
  std::vector<double> distances;
  for (const auto& sample : result.samples)
    if (sample.distance && sample.seconds >= result.seconds / 2 &&
        sample.seconds <= result.seconds)
      distances.push_back(*sample.distance);
  if (distances.empty()) return std::nullopt;
  const auto middle =
      distances.begin() + static_cast<std::ptrdiff_t>(distances.size() / 2);
  std::nth_element(distances.begin(), middle, distances.end());
  return *middle;
}

void SummariseNodes(const CellResult& result, Summary& summary) {
  double accuracies = 0;
  double bytes = 0;
  int judged = 0;
  int counted = 0;
  for (const auto& node : result.nodes) {
    summary.samples += static_cast<double>(node.step) * node.samples_per_step;
    if (node.epsilon)
      summary.epsilon = std::max(summary.epsilon.value_or(0), *node.epsilon);
    if (node.bytes_out) {
      bytes += *node.bytes_out;
      ++counted;
    }
    if (!node.accuracy) continue;
    accuracies += *node.accuracy;
    ++judged;
    summary.worst = std::min(summary.worst.value_or(1), *node.accuracy);
  }
  if (judged > 0) summary.accuracy = accuracies / judged;
  if (counted > 0) summary.bytes_per_node = bytes / counted;
}

}  // namespace

const char* Word(Outcome outcome) {
  for (const auto& [value, word] : kOutcomes)
    if (value == outcome) return word;
  return "";
}

Outcome ParseOutcome(const std::string& word) {
  for (const auto& [value, name] : kOutcomes)
    if (name == word) return value;
  throw std::invalid_argument("\"" + word + "\" is no outcome of a cell");
}

std::optional<double> MeanAccuracy(const Sample& sample) {
  double sum = 0;
  int count = 0;
  for (const auto& node : sample.nodes)
    if (node && node->accuracy) {
      sum += *node->accuracy;
      ++count;
    }
  if (count == 0) return std::nullopt;
  return sum / count;
}

std::optional<double> WorstAccuracy(const Sample& sample) {
  std::optional<double> worst;
  for (const auto& node : sample.nodes)
    if (node && node->accuracy)
      worst = std::min(worst.value_or(1), *node->accuracy);
  return worst;
}

std::vector<std::vector<std::uint64_t>> StepsSoFar(const CellResult& result) {
  std::vector<std::uint64_t> steps(result.nodes.size());
  std::vector<std::vector<std::uint64_t>> all;
  for (const auto& sample : result.samples) {
    for (std::size_t i = 0; i < steps.size(); ++i)
      if (sample.nodes.at(i)) steps[i] = sample.nodes[i]->step;
    all.push_back(steps);
  }
  return all;
}

std::vector<double> SamplesSoFar(const CellResult& result) {
  std::vector<double> all;
  for (const auto& steps : StepsSoFar(result)) {
    double sum = 0;
    for (std::size_t i = 0; i < steps.size(); ++i)
      sum += static_cast<double>(steps[i]) * result.nodes[i].samples_per_step;
    all.push_back(sum);
  }
  return all;
}

Summary Summarise(const CellResult& result,
                  std::optional<double> target_accuracy) {
  Summary summary;
  SummariseNodes(result, summary);
  summary.healthy_steps_per_second = HealthyRate(result);
  summary.distance = DistanceWhileTraining(result);
  if (!target_accuracy) return summary;
  const auto so_far = SamplesSoFar(result);
  for (std::size_t i = 0; i < so_far.size(); ++i) {
    const auto mean = MeanAccuracy(result.samples[i]);
    if (!mean || *mean < *target_accuracy) continue;
    summary.seconds_to_target = result.samples[i].seconds;
    summary.samples_to_target = so_far[i];
    break;
  }
  return summary;
}

}  // namespace hearsay::ops
