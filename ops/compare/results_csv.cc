#include "ops/compare/results_csv.h"

#include <fmt/format.h>

#include <vector>

namespace hearsay::ops {
namespace {

std::string Field(const std::string& text) {
  // What a spreadsheet would take for a formula is made text.
  const bool formula =
      !text.empty() && std::string("=+-@").find(text[0]) != std::string::npos;
  const std::string safe = formula ? "'" + text : text;
  if (safe.find_first_of(",\"\r\n") == std::string::npos) return safe;
  std::string quoted = "\"";
  for (const char c : safe) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string Field(double number) { return fmt::format("{}", number); }
std::string Field(std::uint64_t number) { return fmt::format("{}", number); }
std::string Field(int number) { return fmt::format("{}", number); }
std::string Field(const std::optional<double>& number) {
  return number ? fmt::format("{}", *number) : "";
}

template <typename... Fields>
void Line(std::string& text, const Fields&... fields) {
  text += fmt::format("{}\n", fmt::join(std::vector{Field(fields)...}, ","));
}

}  // namespace

std::string CellsCsv(const Results& results) {
  std::string text =
      "id,rule,topology,nodes,resync_every_steps,straggler,kill,name,outcome,"
      "why,"
      "seconds,planned_steps,planned_samples,samples,accuracy_mean,"
      "accuracy_worst,accuracy_of_average,seconds_to_target,"
      "samples_to_target,healthy_steps_per_second,consensus_distance,"
      "bytes_out_per_node,epsilon_largest,others_fraction\n";
  for (const auto& result : results.cells) {
    const auto summary = Summarise(result, results.target_accuracy);
    const auto& cell = result.cell;
    Line(text, result.id, cell.rule, cell.topology, cell.nodes, cell.resync,
         cell.straggler, cell.kill, cell.name,
         std::string(Word(result.outcome)), result.why, result.seconds,
         result.planned_steps, result.planned_samples, summary.samples,
         summary.accuracy, summary.worst, result.average_accuracy,
         summary.seconds_to_target, summary.samples_to_target,
         summary.healthy_steps_per_second, summary.distance,
         summary.bytes_per_node, summary.epsilon, result.others_fraction);
  }
  return text;
}

std::string SamplesCsv(const Results& results) {
  std::string text =
      "id,seconds,consensus_distance,node,state,step,steps_per_second,"
      "accuracy,loss,epsilon\n";
  for (const auto& result : results.cells)
    for (const auto& sample : result.samples)
      for (std::size_t i = 0; i < sample.nodes.size(); ++i)
        if (const auto& node = sample.nodes[i])
          Line(text, result.id, sample.seconds, sample.distance,
               result.nodes.at(i).name, node->state, node->step,
               node->steps_per_second, node->accuracy, node->loss,
               node->epsilon);
  return text;
}

}  // namespace hearsay::ops
