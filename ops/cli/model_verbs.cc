// eval and inspect: what model files are worth, and what files are.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/presets.h"
#include "ops/cli/evaluate.h"
#include "ops/cli/inspect.h"
#include "ops/cli/inspect_model.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {

namespace {

using nlohmann::ordered_json;

struct EvalFlags {
  std::vector<std::string> models;
  std::string weights = "live";
  std::string data;
  std::string output = "table";
};

struct InspectFlags {
  std::string file;
  std::string model;
  std::string output = "table";
};

void AddOutput(CLI::App* verb, std::string& output) {
  verb->add_option("-o,--output", output, "table | json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
}

// A loss that is not finite becomes null: JSON has no word for it.
ordered_json ToJson(const Score& score) {
  ordered_json json = {{"accuracy", nullptr}, {"loss", score.mean_loss}};
  if (score.accuracy) json["accuracy"] = *score.accuracy;
  return json;
}

void PrintJson(const EvaluationReport& report) {
  ordered_json json = {{"schema", 1},
                       {"model", report.model},
                       {"data",
                        {{"file", report.data.string()},
                         {"name", report.data_name},
                         {"rows", report.rows}}},
                       {"models", ordered_json::array()},
                       {"average", nullptr}};
  for (const ModelScore& model : report.models) {
    ordered_json entry = {{"file", model.file.string()}, {"kind", model.kind}};
    entry["step"] = nullptr;
    if (model.step) entry["step"] = *model.step;
    entry.update(ToJson(model.score));
    json["models"].push_back(entry);
  }
  if (report.average) json["average"] = ToJson(*report.average);
  fmt::print("{}\n", json.dump());
}

void PrintTable(const EvaluationReport& report) {
  std::size_t width = std::string_view("average").size();
  for (const ModelScore& model : report.models)
    width = std::max(width, model.file.string().size());
  const auto row = [width](const std::string& name,
                           std::optional<std::int64_t> step,
                           const Score& score) {
    fmt::print("{:<{}} {:>8} {:>9} {:>9.4f}\n", name, width,
               step ? std::to_string(*step) : "-",
               score.accuracy ? fmt::format("{:.4f}", *score.accuracy) : "-",
               score.mean_loss);
  };
  fmt::print("{:<{}} {:>8} {:>9} {:>9}\n", "model", width, "step", "accuracy",
             "loss");
  for (const ModelScore& model : report.models)
    row(model.file.string(), model.step, model.score);
  if (report.average) row("average", std::nullopt, *report.average);
  fmt::print("on {} rows of {} ({})\n", report.rows, report.data.string(),
             report.data_name);
}

void AddEval(CLI::App& app) {
  auto flags = std::make_shared<EvalFlags>();
  CLI::App* verb = app.add_subcommand(
      "eval", "Accuracy and mean loss of model files on a shard");
  verb->add_option("--model", flags->models,
                   "Checkpoints or weights of one model; with several, their "
                   "average is evaluated too")
      ->required();
  AddWhich(verb, flags->weights);
  verb->add_option("--data", flags->data, "A shard, such as eval.safetensors")
      ->required();
  AddOutput(verb, flags->output);
  verb->callback([flags] {
    const EvaluationReport report =
        Evaluate(flags->models, flags->data, WhichOf(flags->weights));
    flags->output == "json" ? PrintJson(report) : PrintTable(report);
  });
}

void AddInspect(CLI::App& app) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* verb = app.add_subcommand(
      "inspect",
      "Say what a file is (shard, checkpoint, weights, ledger), or a model");
  auto* file =
      verb->add_option("file", flags->file, "The file, or a ledger's folder");
  auto* model = verb->add_option(
      "--model", flags->model,
      "In its stead: print a model as configuration, a preset (" +
          fmt::format("{}", fmt::join(model::PresetNames(), ", ")) +
          ") or that of a configuration file");
  file->excludes(model);
  AddOutput(verb, flags->output);
  verb->callback([flags] {
    if (flags->file.empty() && flags->model.empty())
      throw CLI::RequiredError("a file, or --model");
    const bool is_file = flags->model.empty();
    const ordered_json inspection =
        is_file ? Inspect(flags->file) : InspectModel(flags->model);
    const bool json = flags->output == "json";
    fmt::print("{}", json      ? inspection.dump() + "\n"
                     : is_file ? InspectionText(inspection)
                               : ModelInspectionText(inspection));
  });
}

}  // namespace

void AddModelVerbs(CLI::App& app) {
  AddEval(app);
  AddInspect(app);
}

}  // namespace hearsay::ops
