#include "ops/compare/results_json.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "ops/cli/verbs.h"

namespace hearsay::ops {

using Json = nlohmann::ordered_json;

namespace {

// JSON has no infinity (an epsilon without noise): null.
Json OrNull(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

std::optional<double> NumberOr(const Json& value) {
  if (value.is_null()) return std::nullopt;
  return value.get<double>();
}

Json ToJson(const MatrixCell& cell) {
  return {{"rule", cell.rule},
          {"topology", cell.topology},
          {"nodes", cell.nodes},
          {"resync", cell.resync},
          {"straggler", cell.straggler},
          {"kill", cell.kill},
          {"set", cell.set},
          {"name", cell.name}};
}

MatrixCell CellOf(const Json& json) {
  return {.nodes = json.at("nodes"),
          .rule = json.at("rule"),
          .topology = json.at("topology"),
          .resync = json.at("resync"),
          .straggler = json.at("straggler"),
          .kill = json.at("kill"),
          .set = json.at("set"),
          .name = json.at("name")};
}

Json ToJson(const NodeEnd& node) {
  return {{"name", node.name},
          {"throttle", node.throttle},
          {"state", node.state},
          {"trouble", node.trouble},
          {"step", node.step},
          {"samples_per_step", node.samples_per_step},
          {"sample_rate", node.sample_rate},
          {"noise_multiplier", OrNull(node.noise_multiplier)},
          {"epsilon", OrNull(node.epsilon)},
          {"delta", node.delta},
          {"accuracy", OrNull(node.accuracy)},
          {"loss", OrNull(node.loss)},
          {"bytes_out", OrNull(node.bytes_out)},
          {"bytes_in", OrNull(node.bytes_in)}};
}

NodeEnd NodeOf(const Json& json) {
  return {.name = json.at("name"),
          .throttle = json.at("throttle"),
          .state = json.at("state"),
          .trouble = json.at("trouble"),
          .step = json.at("step"),
          .samples_per_step = json.at("samples_per_step"),
          .sample_rate = json.at("sample_rate"),
          .noise_multiplier = NumberOr(json.at("noise_multiplier")),
          .epsilon = NumberOr(json.at("epsilon")),
          .delta = json.at("delta"),
          .accuracy = NumberOr(json.at("accuracy")),
          .loss = NumberOr(json.at("loss")),
          .bytes_out = NumberOr(json.at("bytes_out")),
          .bytes_in = NumberOr(json.at("bytes_in"))};
}

// A node that did not answer is null; the others a row of six.
Json ToJson(const std::optional<NodeSample>& node) {
  if (!node) return nullptr;
  return {node->state,
          node->step,
          node->steps_per_second,
          OrNull(node->accuracy),
          OrNull(node->loss),
          OrNull(node->epsilon)};
}

std::optional<NodeSample> NodeSampleOf(const Json& row) {
  if (row.is_null()) return std::nullopt;
  return NodeSample{.state = row.at(0),
                    .step = row.at(1),
                    .steps_per_second = row.at(2),
                    .accuracy = NumberOr(row.at(3)),
                    .loss = NumberOr(row.at(4)),
                    .epsilon = NumberOr(row.at(5))};
}

Json ToJson(const Sample& sample) {
  Json nodes = Json::array();
  for (const auto& node : sample.nodes) nodes.push_back(ToJson(node));
  return {{"seconds", sample.seconds},
          {"distance", OrNull(sample.distance)},
          {"nodes", nodes}};
}

Sample SampleOf(const Json& json) {
  Sample sample{.seconds = json.at("seconds"),
                .distance = NumberOr(json.at("distance")),
                .nodes = {}};
  for (const auto& node : json.at("nodes"))
    sample.nodes.push_back(NodeSampleOf(node));
  return sample;
}

// Without samples.
Json HeadOf(const CellResult& result) {
  Json nodes = Json::array();
  for (const auto& node : result.nodes) nodes.push_back(ToJson(node));
  return {{"id", result.id},
          {"cell", ToJson(result.cell)},
          {"outcome", Word(result.outcome)},
          {"why", result.why},
          {"started", result.started},
          {"seconds", result.seconds},
          {"planned_steps", result.planned_steps},
          {"planned_samples", result.planned_samples},
          {"average_accuracy", OrNull(result.average_accuracy)},
          {"average_loss", OrNull(result.average_loss)},
          {"others_fraction", result.others_fraction},
          {"nodes", nodes}};
}

CellResult ResultOf(const Json& json) {
  CellResult result{.id = json.at("id"),
                    .cell = CellOf(json.at("cell")),
                    .outcome = ParseOutcome(json.at("outcome")),
                    .why = json.at("why"),
                    .started = json.at("started"),
                    .seconds = json.at("seconds"),
                    .planned_steps = json.at("planned_steps"),
                    .planned_samples = json.at("planned_samples"),
                    .average_accuracy = NumberOr(json.at("average_accuracy")),
                    .average_loss = NumberOr(json.at("average_loss")),
                    .others_fraction = json.at("others_fraction"),
                    .nodes = {},
                    .samples = {}};
  for (const auto& node : json.at("nodes"))
    result.nodes.push_back(NodeOf(node));
  for (const auto& sample : json.at("samples")) {
    result.samples.push_back(SampleOf(sample));
    if (result.samples.back().nodes.size() != result.nodes.size())
      throw std::runtime_error(result.id + ": a sample of other nodes");
  }
  return result;
}

}  // namespace

Json ToJson(const Results& results) {
  Json cells = Json::array();
  for (const auto& result : results.cells) {
    Json json = HeadOf(result);
    json["samples"] = Json::array();
    for (const auto& sample : result.samples)
      json["samples"].push_back(ToJson(sample));
    cells.push_back(std::move(json));
  }
  return {{"schema", 1},
          {"title", results.title},
          {"conditions", results.conditions},
          {"recipe", results.recipe},
          {"recipe_file", results.recipe_file},
          {"command", results.command},
          {"version", results.version},
          {"cpu", results.cpu},
          {"cores", results.cores},
          {"written", results.written},
          {"target_accuracy", OrNull(results.target_accuracy)},
          {"cells", cells}};
}

Results FromJson(const Json& document) {
  try {
    if (document.at("schema") != 1)
      throw std::runtime_error("written by another release");
    Results results{.title = document.at("title"),
                    .conditions = document.at("conditions"),
                    .recipe = document.at("recipe"),
                    .recipe_file = document.at("recipe_file"),
                    .command = document.at("command"),
                    .version = document.at("version"),
                    .cpu = document.at("cpu"),
                    .cores = document.at("cores"),
                    .written = document.at("written"),
                    .target_accuracy = NumberOr(document.at("target_accuracy")),
                    .cells = {}};
    for (const auto& cell : document.at("cells"))
      results.cells.push_back(ResultOf(cell));
    return results;
  } catch (const Json::exception& error) {
    throw std::runtime_error(error.what());
  }
}

Json SummaryJson(const CellResult& result,
                 std::optional<double> target_accuracy) {
  const Summary summary = Summarise(result, target_accuracy);
  Json json = HeadOf(result);
  json["summary"] = {
      {"accuracy", OrNull(summary.accuracy)},
      {"worst_accuracy", OrNull(summary.worst)},
      {"seconds_to_target", OrNull(summary.seconds_to_target)},
      {"samples_to_target", OrNull(summary.samples_to_target)},
      {"samples", summary.samples},
      {"healthy_steps_per_second", OrNull(summary.healthy_steps_per_second)},
      {"consensus_distance", OrNull(summary.distance)},
      {"bytes_per_node", OrNull(summary.bytes_per_node)},
      {"epsilon", OrNull(summary.epsilon)}};
  return json;
}

std::optional<Results> ReadResults(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) return std::nullopt;
  try {
    return FromJson(Json::parse(stream));
  } catch (const std::exception& error) {
    throw Exit(kError, fmt::format("{}: cannot be read: {}; remove it to begin "
                                   "again, or choose another --out",
                                   file.string(), error.what()));
  }
}

}  // namespace hearsay::ops
