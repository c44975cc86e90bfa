// Charts as data: what report.js needs to draw each.
//
//   {"type": "line" | "bars", "x": AXIS, "y": AXIS, "series": [...],
//    "lines": [{"y", "label"}], "marks": [{"x", "label"}],
//    "overlaps": lines are likely to hide each other}
//   AXIS    {"title", "format": "number" | "percent" | "bytes" | "count",
//            "min", "max", "log", "categories"}
//   series  {"label", "colour", "dash", "points": [[x, y], ...], "worst":
//   [...]}
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "ops/compare/report_parts.h"

namespace hearsay::ops {

using Json = nlohmann::ordered_json;

namespace {

using Points = std::vector<std::pair<double, std::optional<double>>>;

// Six digits: a page is no data file.
double Short(double value) { return std::stod(fmt::format("{:.6g}", value)); }

Json ToJson(const Points& points) {
  Json json = Json::array();
  for (const auto& [x, y] : points)
    if (y && std::isfinite(*y)) json.push_back({Short(x), Short(*y)});
  return json;
}

Json Series(const Ran& ran, const Points& points) {
  return {{"label", ran.label},
          {"colour", ran.colour},
          {"dash", ran.dash},
          {"points", ToJson(points)}};
}

Json Chart(const std::string& x, const std::string& y) {
  return {{"type", "line"},
          {"x", {{"title", x}, {"format", "number"}, {"min", 0}}},
          {"y", {{"title", y}, {"format", "number"}}},
          {"series", Json::array()},
          {"lines", Json::array()},
          {"marks", Json::array()}};
}

bool Empty(const Json& chart) {
  for (const auto& series : chart["series"])
    if (!series["points"].empty()) return false;
  return true;
}

// Null if nothing is drawn; otherwise the chart, as wide as its points.
Json OrNothing(Json chart) {
  if (Empty(chart)) return nullptr;
  double last = 0;
  for (const auto& series : chart["series"])
    for (const auto& point : series["points"])
      last = std::max(last, point[0].get<double>());
  if (!chart["x"].contains("categories")) chart["x"]["max"] = last;
  return chart;
}

// The first steps of a model are far below the rest and would flatten it.
double FloorOf(const Json& chart) {
  std::vector<double> values;
  for (const auto& series : chart["series"])
    for (const auto& point : series["points"]) values.push_back(point[1]);
  if (values.empty()) return 0;
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(values.size() / 5);
  std::nth_element(values.begin(), at, values.end());
  return std::max(0.0, std::floor(20 * *at - 0.2) / 20);
}

// `x_of` gives the place of each sample of a cell.
enum class Settled { kShown, kLeftOut };
Json AccuracyOver(
    const ReportData& data, const std::string& x_title, Settled settled,
    const std::function<std::vector<double>(const CellResult&)>& x_of) {
  Json chart = Chart(x_title, "Accuracy on the public evaluation set");
  chart["y"]["format"] = "percent";
  for (const auto& ran : data.ran) {
    const auto xs = x_of(*ran.result);
    Points mean;
    Points worst;
    for (std::size_t i = 0; i < xs.size(); ++i) {
      if (settled == Settled::kLeftOut &&
          ran.result->samples[i].seconds > ran.result->seconds)
        continue;
      mean.emplace_back(xs[i], MeanAccuracy(ran.result->samples[i]));
      worst.emplace_back(xs[i], WorstAccuracy(ran.result->samples[i]));
    }
    Json series = Series(ran, mean);
    series["worst"] = ToJson(worst);
    chart["series"].push_back(std::move(series));
  }
  chart["y"]["min"] = FloorOf(chart);
  if (const auto target = data.results->target_accuracy)
    chart["lines"].push_back(
        {{"y", *target},
         {"label", fmt::format("target {:.1f} %", 100 * *target)}});
  return OrNothing(std::move(chart));
}

Json Categories(const std::vector<double>& values,
                const std::function<std::string(double)>& word) {
  Json categories = Json::array();
  for (const double value : values) categories.push_back(word(value));
  return categories;
}

// A line a family over the values of an axis.
Json Along(const ReportData& data, Axis axis, Json chart,
           const std::function<std::string(double)>& word,
           const std::function<std::optional<double>(const Ran&)>& y_of) {
  const auto families = FamiliesAlong(data, axis);
  const auto values = ValuesOf(families);
  chart["x"]["categories"] = Categories(values, word);
  chart["overlaps"] = true;
  for (const auto& family : families) {
    Points points;
    for (const auto& [value, ran] : family.members)
      points.emplace_back(
          std::lower_bound(values.begin(), values.end(), value) -
              values.begin(),
          y_of(*ran));
    chart["series"].push_back({{"label", family.label},
                               {"colour", family.colour},
                               {"dash", 0},
                               {"points", ToJson(points)}});
  }
  return OrNothing(std::move(chart));
}

std::string Factor(double value) {
  return value > 1 ? fmt::format("{}x slower", value) : "all equal";
}

std::string Every(double value) {
  return value > 0 ? fmt::format("{}", value) : "never";
}

}  // namespace

Json AccuracyOverTime(const ReportData& data) {
  return AccuracyOver(data, "Seconds since all nodes were ready",
                      Settled::kShown, SecondsOf);
}

Json AccuracyOverSamples(const ReportData& data) {
  Json chart = AccuracyOver(data, "Expected samples, all nodes together",
                            Settled::kLeftOut, SamplesSoFar);
  if (!chart.is_null()) chart["x"]["format"] = "count";
  return chart;
}

Json DistanceOverTime(const ReportData& data) {
  Json chart = Chart("Seconds since all nodes were ready",
                     "Distance from the mean, relative to its length");
  chart["y"]["log"] = true;
  for (const auto& ran : data.ran) {
    Points points;
    for (const auto& sample : ran.result->samples)
      if (sample.distance && *sample.distance > 0 &&
          sample.seconds <= ran.result->seconds)
        points.emplace_back(sample.seconds, sample.distance);
    chart["series"].push_back(Series(ran, points));
  }
  return OrNothing(std::move(chart));
}

Json BytesOfCells(const ReportData& data) {
  Json chart = Chart("", "Sent by a node, until its last step");
  chart["type"] = "bars";
  chart["y"]["format"] = "bytes";
  chart["x"]["categories"] = Json::array();
  Json series = {{"label", "sent by a node"},
                 {"colour", 0},
                 {"dash", 0},
                 {"points", Json::array()}};
  for (std::size_t i = 0; i < data.ran.size(); ++i) {
    chart["x"]["categories"].push_back(data.ran[i].label);
    if (const auto bytes = data.ran[i].summary.bytes_per_node)
      series["points"].push_back({i, Short(*bytes)});
  }
  chart["series"].push_back(std::move(series));
  return OrNothing(std::move(chart));
}

Json StepsOverStragglers(const ReportData& data) {
  return Along(data, Axis::kStraggler,
               Chart("How much slower the last node is",
                     "Steps a second of the other nodes"),
               Factor, [](const Ran& ran) {
                 return ran.summary.healthy_steps_per_second;
               });
}

Json StepTimeOverNodes(const ReportData& data) {
  return Along(
      data, Axis::kNodes, Chart("Nodes", "Milliseconds a step of one node"),
      [](double value) { return fmt::format("{}", value); },
      [](const Ran& ran) -> std::optional<double> {
        const auto rate = ran.summary.healthy_steps_per_second;
        if (!rate || *rate <= 0) return std::nullopt;
        return 1000 / *rate;
      });
}

Json AccuracyOverResync(const ReportData& data) {
  Json chart = Chart("Steps between two averages of all (k)",
                     "Accuracy at the end, mean of nodes");
  chart["y"]["format"] = "percent";
  return Along(data, Axis::kResync, std::move(chart), Every,
               [](const Ran& ran) { return ran.summary.accuracy; });
}

Json DistanceOverResync(const ReportData& data) {
  return Along(data, Axis::kResync,
               Chart("Steps between two averages of all (k)",
                     "Distance from the mean, median of the second half"),
               Every, [](const Ran& ran) { return ran.summary.distance; });
}

Json StepsOverTime(const ReportData& data) {
  Json chart = Chart("Seconds since all nodes were ready",
                     "Steps, mean of the nodes that live to the end");
  chart["overlaps"] = true;
  if (!data.varying.kill) return nullptr;
  for (const auto& ran : data.ran) {
    const auto steps = StepsSoFar(*ran.result);
    Points points;
    for (std::size_t at = 0; at < steps.size(); ++at) {
      double sum = 0;
      int count = 0;
      for (std::size_t i = 0; i < ran.result->nodes.size(); ++i)
        if (ran.result->nodes[i].trouble.empty()) {
          sum += static_cast<double>(steps[at][i]);
          ++count;
        }
      if (count > 0)
        points.emplace_back(ran.result->samples[at].seconds, sum / count);
    }
    chart["series"].push_back(Series(ran, points));
    if (const auto kill = ParseKill(ran.result->cell.kill))
      chart["marks"].push_back(
          {{"x", std::chrono::duration<double>(kill->at).count()},
           {"label", kill->node + " is killed"}});
  }
  auto& marks = chart["marks"];
  marks.erase(std::unique(marks.begin(), marks.end()), marks.end());
  return OrNothing(std::move(chart));
}

}  // namespace hearsay::ops
