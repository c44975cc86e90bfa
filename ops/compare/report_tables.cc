#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "ops/cli/table.h"
#include "ops/compare/html.h"
#include "ops/compare/report_parts.h"

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kUnknown = "-";

Json OrNull(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}
std::string Percent(const std::optional<double>& fraction) {
  return fraction ? fmt::format("{:.1f} %", 100 * *fraction) : kUnknown;
}
std::string Fixed(const std::optional<double>& value, int digits) {
  return FixedCell(OrNull(value), digits);
}
std::string Count(const std::optional<double>& value) {
  return value ? Grouped(*value) : kUnknown;
}
std::string Megabytes(const std::optional<double>& bytes) {
  return bytes ? fmt::format("{:.2f} MB", *bytes * 1e-6) : kUnknown;
}

// Where the sample lies that was the last one when `x` was reached.
std::optional<std::size_t> LastUntil(const std::vector<double>& xs, double x) {
  std::optional<std::size_t> last;
  for (std::size_t i = 0; i < xs.size(); ++i)
    if (xs[i] <= x) last = i;
  return last;
}

// Accuracies on the way, at three places before the end.
void AddOnTheWay(std::vector<std::string>& row, const CellResult& result,
                 const std::vector<double>& xs, double end) {
  for (const double share : {0.25, 0.5, 0.75}) {
    const auto at = LastUntil(xs, share * end);
    // A cell that had ended by then is at its end.
    row.push_back(at ? Percent(MeanAccuracy(result.samples[*at])) : kUnknown);
  }
}

template <typename RowOf>
std::string AlongTable(const ReportData& data, Axis axis,
                       std::vector<std::string> headers, const RowOf& row_of) {
  HtmlTable table{std::move(headers), {}, {}};
  for (const auto& family : FamiliesAlong(data, axis))
    for (const auto& [value, ran] : family.members)
      table.rows.push_back(row_of(family, value, *ran));
  return TableHtml(table);
}

std::string Range(const CellResult& result,
                  std::optional<double> NodeEnd::*number, int digits) {
  std::optional<double> low;
  std::optional<double> high;
  for (const auto& node : result.nodes) {
    if (!(node.*number)) continue;
    low = std::min(low.value_or(*(node.*number)), *(node.*number));
    high = std::max(high.value_or(*(node.*number)), *(node.*number));
  }
  const std::string from = Fixed(low, digits);
  const std::string to = Fixed(high, digits);
  return from == to ? from : fmt::format("{} to {}", from, to);
}

}  // namespace

std::string GlanceTable(const ReportData& data) {
  HtmlTable table{
      {"Cell", "Outcome", "Accuracy, mean", "Worst node", "Average model",
       "Seconds", "Seconds to target", "Samples to target", "Epsilon"},
      {},
      {1}};
  for (const auto& result : data.results->cells) {
    const auto summary = Summarise(result, data.results->target_accuracy);
    table.rows.push_back(
        {LabelOf(result.cell, data.naming), Word(result.outcome),
         Percent(summary.accuracy), Percent(summary.worst),
         Percent(result.average_accuracy),
         result.ran() ? fmt::format("{:.1f}", result.seconds) : kUnknown,
         Fixed(summary.seconds_to_target, 1), Count(summary.samples_to_target),
         Fixed(summary.epsilon, 3)});
  }
  return TableHtml(table);
}

std::string TimeTable(const ReportData& data) {
  double longest = 0;
  for (const auto& ran : data.ran)
    longest = std::max(longest, ran.result->seconds);
  HtmlTable table{{"Cell"}, {}, {}};
  for (const double share : {0.25, 0.5, 0.75})
    table.headers.push_back(fmt::format("at {:.1f} s", share * longest));
  table.headers.insert(table.headers.end(),
                       {"at the end", "ended after", "seconds to target"});
  for (const auto& ran : data.ran) {
    std::vector<std::string> row = {ran.label};
    AddOnTheWay(row, *ran.result, SecondsOf(*ran.result), longest);
    row.push_back(Percent(ran.summary.accuracy));
    row.push_back(fmt::format("{:.1f} s", ran.result->seconds));
    row.push_back(Fixed(ran.summary.seconds_to_target, 1));
    table.rows.push_back(std::move(row));
  }
  return TableHtml(table);
}

std::string SamplesTable(const ReportData& data) {
  double planned = 0;
  for (const auto& ran : data.ran)
    planned = std::max(planned, ran.result->planned_samples);
  HtmlTable table{{"Cell"}, {}, {}};
  for (const double share : {0.25, 0.5, 0.75})
    table.headers.push_back(fmt::format("at {}", Count(share * planned)));
  table.headers.insert(table.headers.end(),
                       {"at the end", "samples taken", "samples to target"});
  for (const auto& ran : data.ran) {
    std::vector<std::string> row = {ran.label};
    AddOnTheWay(row, *ran.result, SamplesSoFar(*ran.result), planned);
    row.push_back(Percent(ran.summary.accuracy));
    row.push_back(Count(ran.summary.samples));
    row.push_back(Count(ran.summary.samples_to_target));
    table.rows.push_back(std::move(row));
  }
  return TableHtml(table);
}

std::string DistanceTable(const ReportData& data) {
  HtmlTable table{
      {"Cell", "median of the second half", "largest", "after the last step"},
      {},
      {}};
  for (const auto& ran : data.ran) {
    std::optional<double> largest;
    std::optional<double> last;
    for (const auto& sample : ran.result->samples) {
      if (!sample.distance) continue;
      largest = std::max(largest.value_or(0), *sample.distance);
      last = sample.distance;
    }
    table.rows.push_back({ran.label, Fixed(ran.summary.distance, 4),
                          Fixed(largest, 4), Fixed(last, 4)});
  }
  return TableHtml(table);
}

std::string BytesTable(const ReportData& data) {
  HtmlTable table{{"Cell", "sent by a node", "a step", "a second"}, {}, {}};
  for (const auto& ran : data.ran) {
    const auto bytes = ran.summary.bytes_per_node;
    double steps = 0;
    for (const auto& node : ran.result->nodes)
      steps += static_cast<double>(node.step) /
               static_cast<double>(ran.result->nodes.size());
    const auto each = [&](double count) {
      return bytes && count > 0
                 ? fmt::format("{:.1f} kB", *bytes / count * 1e-3)
                 : kUnknown;
    };
    table.rows.push_back(
        {ran.label, Megabytes(bytes), each(steps), each(ran.result->seconds)});
  }
  return TableHtml(table);
}

std::string StragglerTable(const ReportData& data) {
  return AlongTable(
      data, Axis::kStraggler,
      {"Way to mix", "last node slower by", "others' steps/s",
       "of what they have without", "accuracy, mean", "seconds to target"},
      [](const Family& family, double factor, const Ran& ran) {
        const auto rate = ran.summary.healthy_steps_per_second;
        const auto& [least, first] = family.members.front();
        const auto before = first->summary.healthy_steps_per_second;
        const bool known = rate && before && *before > 0 && least == 1;
        return std::vector<std::string>{
            family.label,
            fmt::format("{}", factor),
            Fixed(rate, 1),
            known ? Percent(*rate / *before) : kUnknown,
            Percent(ran.summary.accuracy),
            Fixed(ran.summary.seconds_to_target, 1)};
      });
}

std::string ScalingTable(const ReportData& data) {
  return AlongTable(
      data, Axis::kNodes,
      {"Way to mix", "nodes", "ms a step", "samples a second, all",
       "accuracy, mean", "worst node", "seconds to target"},
      [](const Family& family, double nodes, const Ran& ran) {
        const auto rate = ran.summary.healthy_steps_per_second;
        std::optional<double> samples;
        if (rate) {
          samples = 0;
          for (const auto& node : ran.result->nodes)
            *samples += *rate * node.samples_per_step;
        }
        return std::vector<std::string>{
            family.label,
            fmt::format("{}", nodes),
            rate && *rate > 0 ? fmt::format("{:.2f}", 1000 / *rate) : kUnknown,
            Count(samples),
            Percent(ran.summary.accuracy),
            Percent(ran.summary.worst),
            Fixed(ran.summary.seconds_to_target, 1)};
      });
}

std::string ResyncTable(const ReportData& data) {
  return AlongTable(data, Axis::kResync,
                    {"Way to mix", "k", "accuracy, mean", "worst node",
                     "average model", "distance", "sent by a node"},
                    [](const Family& family, double k, const Ran& ran) {
                      return std::vector<std::string>{
                          family.label,
                          k > 0 ? fmt::format("{}", k) : "never",
                          Percent(ran.summary.accuracy),
                          Percent(ran.summary.worst),
                          Percent(ran.result->average_accuracy),
                          Fixed(ran.summary.distance, 4),
                          Megabytes(ran.summary.bytes_per_node)};
                    });
}

std::string DeathTable(const ReportData& data) {
  HtmlTable table{{"Cell", "survivors' steps", "of planned", "their steps/s",
                   "accuracy, mean", "what happened"},
                  {},
                  {5}};
  for (const auto& ran : data.ran) {
    double steps = 0;
    int lived = 0;
    for (const auto& node : ran.result->nodes)
      if (node.trouble.empty()) {
        steps += static_cast<double>(node.step);
        ++lived;
      }
    std::optional<double> mean;
    if (lived > 0) mean = steps / lived;
    const auto planned = static_cast<double>(ran.result->planned_steps);
    table.rows.push_back(
        {ran.label, Fixed(mean, 0),
         mean && planned > 0 ? Percent(*mean / planned) : kUnknown,
         Fixed(ran.summary.healthy_steps_per_second, 1),
         Percent(ran.summary.accuracy), ran.result->why});
  }
  return TableHtml(table);
}

std::string ConditionsTable(const ReportData& data) {
  HtmlTable table{
      {"Cell", "nodes", "steps of a node", "sample rate", "noise multiplier",
       "samples planned", "samples taken", "epsilon of nodes", "delta"},
      {},
      {}};
  for (const auto& ran : data.ran) {
    const auto& result = *ran.result;
    const auto& first = result.nodes.front();
    table.rows.push_back({ran.label, fmt::format("{}", result.cell.nodes),
                          fmt::format("{}", result.planned_steps),
                          fmt::format("{:.6g}", first.sample_rate),
                          Range(result, &NodeEnd::noise_multiplier, 4),
                          Count(result.planned_samples),
                          Count(ran.summary.samples),
                          Range(result, &NodeEnd::epsilon, 4),
                          fmt::format("{:g}", first.delta)});
  }
  return TableHtml(table);
}

std::string NodesTable(const ReportData& data) {
  HtmlTable table{{"Cell", "node", "slower by", "state", "steps", "epsilon",
                   "accuracy", "loss", "sent", "received", "trouble"},
                  {},
                  {1, 3, 10}};
  for (const auto& ran : data.ran)
    for (const auto& node : ran.result->nodes)
      table.rows.push_back(
          {ran.label, node.name, fmt::format("{}", node.throttle), node.state,
           fmt::format("{}", node.step), Fixed(node.epsilon, 4),
           Percent(node.accuracy), Fixed(node.loss, 4),
           Megabytes(node.bytes_out), Megabytes(node.bytes_in), node.trouble});
  return TableHtml(table);
}

}  // namespace hearsay::ops
