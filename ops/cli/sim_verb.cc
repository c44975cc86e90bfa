// sim: the rules under virtual time.
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ops/cli/progress.h"
#include "ops/cli/table.h"
#include "ops/cli/verbs.h"
#include "ops/sim/settings_toml.h"
#include "ops/sim/world.h"

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSimFooter =
    R"(The nodes run the code of `hearsayd`'s mixing rules; what is made up is time, the
network and the trainers. The same file and seed are the same result.

  hearsay sim --set sim.nodes=64 --set sim.steps=2000 --set mixing.topology=exponential
  hearsay sim ops/recipes/sim-straggler.toml --csv out.csv

Keys, with what they are if not given:
  [sim]       nodes 8, seed 1, steps 1000 | until "10s", sample_every, rounds off | on
              (rounds = "on": nodes in step, as the formulas of a synchronous ring)
  [mixing]    rule "pairwise", topology "ring", interval "auto", objective "gradients",
              momentum off | acid | acid_unscaled, trigger clock | before_step |
              after_step | on_arrival (naive_newest), many_in_flight off | on
  [resync]    every_steps 0, mode overlapped | blocking | adaptive, algorithm ring |
              halving_doubling, above 0.05, slow_momentum 0
  [compute]   step_time "10ms", spread uniform | constant | exponential | lognormal,
              width 0.1, slower ["3=8", "4-7=2"]
  [network]   latency "100us" (one way), jitter 0, bandwidth 0 (bytes/s; 0: no limit),
              loss 0, message_bytes (of the model), deadline, detect "1s"
  [model]     kind zero | own | classify, dimension, learning_rate 0.01, noise 0 (variance
              a step); classify: rows 1000, sample_rate 0.05, clip_norm 1,
              noise_multiplier 1, hidden 8, partition iid | skewed
  [incidents] list ["5s kill 2", "5s freeze 2 for 10s", "5s part 0-3 for 10s"]

zero: every target is 0 and all start at 1, so the error is how far training is. own:
node i's target is element i, so the mean shows what each node counts for.)";

Json ToJson(const sim::Settings& settings, const sim::Result& result) {
  Json samples = Json::array();
  for (const auto& sample : result.samples) {
    Json json = {{"seconds", sample.time},
                 {"steps", sample.steps},
                 {"error", sample.error},
                 {"consensus_distance", sample.consensus},
                 {"consensus_variance", sample.variance},
                 {"bytes_per_node", sample.bytes}};
    if (settings.task.kind == sim::Settings::Task::Kind::kClassify) {
      json["loss"] = sample.loss;
      json["accuracy"] = sample.accuracy;
      json["worst_accuracy"] = sample.worst_accuracy;
    } else {
      json["mean"] = sample.mean;
    }
    samples.push_back(std::move(json));
  }
  std::map<std::string, std::uint64_t> failures;
  for (const auto& node : result.nodes)
    if (!node.failure.empty()) ++failures[node.failure];
  return {{"schema", 1},
          {"nodes", settings.nodes},
          {"seed", settings.seed},
          {"rule", mixing::Word(settings.mixing.rule)},
          {"topology", mixing::Word(settings.mixing.topology)},
          {"virtual_seconds", result.virtual_seconds},
          {"exchanges", result.exchanges},
          {"failed", result.failed},
          {"one_sided", result.one_sided},
          {"resyncs", result.resyncs},
          {"failures", failures},
          {"events", result.events},
          {"wall_seconds", result.wall_seconds},
          {"samples", samples}};
}

void WriteCsv(const std::string& path, const sim::Result& result) {
  std::ofstream file(path);
  file << "seconds,steps,error,consensus_distance,consensus_variance,"
          "bytes_per_node,loss,accuracy,worst_accuracy\n";
  for (const auto& s : result.samples)
    file << fmt::format("{},{},{},{},{},{},{},{},{}\n", s.time, s.steps,
                        s.error, s.consensus, s.variance, s.bytes, s.loss,
                        s.accuracy, s.worst_accuracy);
  file.flush();
  if (!file) throw Exit(kError, path + ": cannot write this file");
}

void PrintSim(const sim::Settings& settings, const sim::Result& result) {
  const bool classify =
      settings.task.kind == sim::Settings::Task::Kind::kClassify;
  std::vector<Column> columns;
  for (const char* name :
       {"seconds", "steps", "error", "distance", "variance", "bytes/node"})
    columns.push_back({name, Align::kRight});
  if (classify) {
    columns.push_back({"accuracy", Align::kRight});
    columns.push_back({"worst", Align::kRight});
  }
  Table table(columns);
  // Ten lines tell how it went; --csv has them all.
  const auto count = result.samples.size();
  std::size_t last = count;
  for (std::size_t line = 0; line <= 10 && count > 0; ++line) {
    const auto at = line * (count - 1) / 10;
    if (at == last) continue;
    last = at;
    const auto& s = result.samples[at];
    std::vector<std::string> cells = {
        fmt::format("{:.4g}", s.time),     fmt::format("{:.0f}", s.steps),
        fmt::format("{:.4g}", s.error),    fmt::format("{:.4g}", s.consensus),
        fmt::format("{:.4g}", s.variance), fmt::format("{:.4g}", s.bytes)};
    if (classify) {
      cells.push_back(PercentCell(s.accuracy));
      cells.push_back(PercentCell(s.worst_accuracy));
    }
    table.Add(std::move(cells));
  }
  Print(table);
  fmt::print(
      "\n{} nodes, rule {}, topology {}, seed {}: {} exchanges, {} failed, {} "
      "one-sided, {} full averages\n",
      settings.nodes, mixing::Word(settings.mixing.rule),
      mixing::Word(settings.mixing.topology), settings.seed, result.exchanges,
      result.failed, result.one_sided, result.resyncs);
  std::map<std::string, std::uint64_t> failures;
  for (const auto& node : result.nodes)
    if (!node.failure.empty()) ++failures[node.failure];
  for (const auto& [why, nodes] : failures)
    fmt::print("{} node{} ended: {}\n", nodes, nodes == 1 ? "" : "s", why);
  fmt::print("{} events in {:.2f} s, {:.2f} million a second\n", result.events,
             result.wall_seconds,
             static_cast<double>(result.events) / result.wall_seconds / 1e6);
}

struct SimRequest {
  std::string file;
  std::vector<std::string> set;
  std::string csv;
  std::string output = "table";
};

daemon::Overrides SimFlags(const std::vector<std::string>& set) {
  daemon::Overrides flags;
  for (const auto& item : set) {
    const auto equals = item.find('=');
    if (equals == std::string::npos)
      throw Exit(kUsage, fmt::format("--set {}: write SECTION.KEY=VALUE, as in "
                                     "--set sim.nodes=64",
                                     item));
    flags[item.substr(0, equals)] = item.substr(equals + 1);
  }
  return flags;
}

void Run(const SimRequest& request) {
  if (request.output != "table" && request.output != "json")
    throw Exit(kUsage, fmt::format("--output {} is unknown; use table or json",
                                   request.output));
  sim::Settings settings;
  try {
    settings = sim::ReadSettings(request.file, SimFlags(request.set));
  } catch (const daemon::ConfigError& error) {
    throw Exit(kUsage, error.what());
  }
  sim::Result result;
  {
    Progress progress;
    const double end =
        settings.until > 0
            ? settings.until
            : settings.compute.step_time * static_cast<double>(settings.steps);
    try {
      result =
          sim::Simulate(settings, [&](double time, const sim::Result& so_far) {
            progress.Show(fmt::format("{:.0f} %, {} million events",
                                      std::min(100.0, 100 * time / end),
                                      so_far.events / 1'000'000));
          });
    } catch (const std::invalid_argument& error) {
      throw Exit(kUsage, error.what());
    }
  }
  if (!request.csv.empty()) WriteCsv(request.csv, result);
  if (request.output == "json")
    std::puts(ToJson(settings, result).dump().c_str());
  else
    PrintSim(settings, result);
}

}  // namespace

void AddSimVerb(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "sim", "Simulate many nodes under virtual time, with the same rules");
  const auto request = std::make_shared<SimRequest>();
  verb->add_option("CONFIG", request->file, "A TOML file; none: all defaults")
      ->check(CLI::ExistingFile);
  verb->add_option("--set", request->set, "SECTION.KEY=VALUE, over the file");
  verb->add_option("--csv", request->csv, "Write every sample to this file");
  verb->add_option("-o,--output", request->output, "table or json");
  verb->footer(kSimFooter);
  verb->callback([request] { Run(*request); });
}

}  // namespace hearsay::ops
