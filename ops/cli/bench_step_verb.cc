// bench step: how fast this machine trains, beside how fast it multiplies.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "daemon/initial_weights.h"
#include "daemon/model_config.h"
#include "model/shard.h"
#include "ops/bench/step_bench.h"
#include "ops/cli/progress.h"
#include "ops/cli/table.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {

namespace {

using Json = nlohmann::ordered_json;

struct StepFlags {
  std::vector<std::string> models;
  std::string config;
  int batch = 0;
  int threads = 0;
  double seconds = 3;
  std::string output = "table";
};

// As the node of that file would step: its model, its rows, its mean batch.
StepBenchModel ModelOfConfig(const std::string& file) {
  const auto config = daemon::LoadConfig(file, {});
  if (!config.test.probe.empty())
    throw Exit(kError,
               fmt::format("{}: has a test.probe, which has no model", file));
  const auto shard = daemon::OpenFor(config.model, config.data.train);
  StepBenchModel bench{.name = config.node.name,
                       .spec = daemon::SpecOf(config.model, shard)};
  bench.frozen = daemon::ReadFrozen(config, bench.spec);
  const double mean =
      config.train.sample_rate * static_cast<double>(config.train.public_size);
  bench.batch = static_cast<int>(std::max(1.0, std::round(mean)));
  bench.physical_batch = config.train.physical_batch;
  bench.threads = config.train.threads;
  bench.optimizer = config.train.optimizer;
  bench.clip_norm = config.privacy.clip_norm;
  bench.noise_multiplier = config.privacy.noise_multiplier.value_or(1);
  bench.shard = config.data.train;
  return bench;
}

std::vector<StepBenchModel> ModelsOf(const StepFlags& flags) {
  std::vector<StepBenchModel> models;
  if (!flags.config.empty()) models.push_back(ModelOfConfig(flags.config));
  auto names = flags.models;
  if (names.empty() && flags.config.empty()) names = StepBenchModelNames();
  for (const auto& name : names) models.push_back(StepBenchModelOf(name));
  if (flags.batch > 0)
    for (auto& model : models) model.batch = model.physical_batch = flags.batch;
  if (flags.threads > 0)
    for (auto& model : models) model.threads = flags.threads;
  return models;
}

std::string MillisecondsCell(const Json& seconds) {
  return fmt::format("{:.3f}", 1e3 * seconds.get<double>());
}

std::string Render(const Json& document) {
  const auto& machine = document["machine"];
  std::string text =
      fmt::format("{}, {} cores; {}\n", Cell(machine["cpu"]),
                  machine["cores"].get<unsigned>(), Cell(document["blas"]));
  for (const auto& note : machine["notes"])
    text += fmt::format("! {}\n", note.get<std::string>());
  Table table({{"MODEL"},
               {"WEIGHTS", Align::kRight},
               {"BATCH", Align::kRight},
               {"THREADS", Align::kRight},
               {"PRIVATE/s", Align::kRight},
               {"PLAIN/s", Align::kRight},
               {"TIME", Align::kRight},
               {"FLOOR", Align::kRight},
               {"OF FLOOR", Align::kRight},
               {"ALLOCATIONS", Align::kRight}});
  Table phases({{"MS A STEP"},
                {"PRIVATE", Align::kRight},
                {"PLAIN", Align::kRight},
                {"LOAD", Align::kRight},
                {"FORWARD+BACKWARD", Align::kRight},
                {"NOISE", Align::kRight},
                {"UPDATE", Align::kRight},
                {"FLOOR", Align::kRight}});
  std::string left_out;
  for (const auto& model : document["models"]) {
    table.Add(
        {Cell(model["name"]), Cell(model["parameters"]), Cell(model["batch"]),
         Cell(model["threads"]),
         fmt::format("{:.0f}",
                     model["private"]["samples_per_second"].get<double>()),
         fmt::format("{:.0f}",
                     model["plain"]["samples_per_second"].get<double>()),
         fmt::format("{:.2f} x", model["private_over_plain"].get<double>()),
         fmt::format("{:.0f} G/s",
                     1e-9 * model["floor"]["flops_per_second"].get<double>()),
         PercentCell(model["fraction_of_floor"]),
         FixedCell(model["allocations"], 1)});
    const auto& phase = model["phases"];
    phases.Add({Cell(model["name"]),
                MillisecondsCell(model["private"]["seconds"]["median"]),
                MillisecondsCell(model["plain"]["seconds"]["median"]),
                MillisecondsCell(phase["load"]),
                MillisecondsCell(phase["forward_backward"]),
                MillisecondsCell(phase["clip_noise"]),
                MillisecondsCell(phase["update"]),
                MillisecondsCell(model["floor"]["seconds"])});
    for (const auto& layer : model["floor"]["left_out"])
      left_out += fmt::format("! {}: the floor leaves out layer {}\n",
                              Cell(model["name"]), layer.get<std::string>());
  }
  return text + "\n" + table.Text() + "\n" + phases.Text() + left_out;
}

void Run(const StepFlags& flags) {
  const auto models = ModelsOf(flags);
  Json document;
  {
    Progress progress;
    document =
        RunStepBench(models, flags.seconds,
                     [&](const std::string& text) { progress.Show(text); });
  }
  if (flags.output == "json")
    Print(document);
  else
    std::fputs(Render(document).c_str(), stdout);
}

}  // namespace

void AddStepBench(CLI::App& bench) {
  auto* verb =
      bench.add_subcommand("step", "Training steps, private and plain");
  const auto flags = std::make_shared<StepFlags>();
  verb->add_option("--model", flags->models,
                   "tabular (10-64-64-2), mlp (784-512-256-10), cnn (the MNIST "
                   "one); default: all, without --config")
      ->delimiter(',')
      ->check(CLI::IsMember(StepBenchModelNames()));
  verb->add_option("--config", flags->config,
                   "A node's file: its model, rows and mean batch");
  verb->add_option("--batch", flags->batch, "Records a step, all at once")
      ->check(CLI::Range(1, 1 << 20));
  verb->add_option("--threads", flags->threads,
                   "Of a step; default: one, or what --config says")
      ->check(CLI::Range(1, 256));
  verb->add_option("--seconds", flags->seconds,
                   "Of each kind of step and model")
      ->check(CLI::Range(0.05, 600.0))
      ->capture_default_str();
  verb->add_option("-o,--output", flags->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  verb->footer(
      "PRIVATE/s and PLAIN/s are records a second; TIME is a private step over "
      "a plain one.\nThe floor is what the step's matrix products take at the "
      "rate of a large product on this\nmachine, measured in the same "
      "rounds; noise, activations and norms are on top of it.\nALLOCATIONS "
      "are calls of operator new in a private step. No private data is "
      "touched\nwithout --config, and nothing is spent with it: the sums are "
      "thrown away.\n\nExample:\n  hearsay bench step\n  hearsay bench step "
      "--config run/a/hearsayd.toml -o json");
  verb->callback([flags] { Run(*flags); });
}

}  // namespace hearsay::ops
