#include "ops/compare/daemon_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/config.h"
#include "ops/bench/machine.h"
#include "ops/cli/new_cluster.h"
#include "ops/cli/process.h"
#include "ops/compare/cell_run.h"
#include "ops/compare/daemons.h"
#include "ops/compare/sim_backend.h"

namespace hearsay::ops {
namespace {

namespace fs = std::filesystem;

// As TOML, whatever it holds.
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

NewCluster ClusterOf(const Recipe& recipe, const MatrixCell& cell,
                     const CellData& data) {
  NewCluster cluster;
  cluster.nodes = cell.nodes;
  cluster.data = data.shards.string();
  cluster.settings = recipe.node_settings;
  // Initial weights follow from the name: all cells begin with the same.
  cluster.settings.emplace_back("cluster.name=compare");
  cluster.settings.push_back("mixing.rule=" + Quoted(cell.rule));
  cluster.settings.push_back("mixing.topology=" + Quoted(cell.topology));
  if (cell.resync > 0)
    cluster.settings.push_back(
        fmt::format("resync.every_steps={}", cell.resync));
  if (data.public_size)
    cluster.settings.push_back(
        fmt::format("train.public_size={}", *data.public_size));
  cluster.settings.insert(cluster.settings.end(), cell.set.begin(),
                          cell.set.end());
  if (cell.straggler > 1)
    cluster.settings_of[cell.nodes - 1] = {
        fmt::format("train.throttle={}", cell.straggler)};
  return cluster;
}

// What is known of the nodes before they start.
void Plan(const LocalCluster& cluster, CellResult& result) {
  for (const auto& local : cluster.nodes) {
    const auto config = daemon::LoadConfig(local.config, {});
    NodeEnd node;
    node.name = local.name;
    node.throttle = config.train.throttle;
    node.samples_per_step = config.train.sample_rate *
                            static_cast<double>(config.train.public_size);
    node.sample_rate = config.train.sample_rate;
    node.delta = config.privacy.delta;
    result.planned_steps = config.train.steps;
    result.planned_samples +=
        static_cast<double>(config.train.steps) * node.samples_per_step;
    result.nodes.push_back(std::move(node));
  }
}

}  // namespace

DaemonBackend::DaemonBackend(const Recipe& recipe, const fs::path& dir,
                             Interrupts& interrupts)
    : recipe_(recipe),
      dir_(dir),
      interrupts_(interrupts),
      daemon_(FindDaemon()),
      data_(recipe, dir / "data") {}

// A cell's own keys are no --set of anybody.
std::string DaemonBackend::Explain(const std::string& complaint) const {
  constexpr std::string_view kSet = "--set ";
  const std::string told = recipe_.Explain(complaint);
  const auto equals = told.find('=');
  const auto colon = told.find(": ");
  if (!told.starts_with(kSet) || equals > colon) return told;
  return told.substr(kSet.size(), equals - kSet.size()) + told.substr(colon);
}

void DaemonBackend::KeepLogs(const CellResult& result) const {
  for (const auto& node : result.nodes) {
    const fs::path from = dir_ / "run" / node.name;
    const fs::path to = dir_ / "logs" / result.id;
    fs::create_directories(to);
    std::error_code ignored;  // a node that never started said nothing
    constexpr auto kReplace = fs::copy_options::overwrite_existing;
    fs::copy_file(from / "hearsayd.log", to / (node.name + ".log"), kReplace,
                  ignored);
    fs::copy_file(from / "hearsayd.toml", to / (node.name + ".toml"), kReplace,
                  ignored);
  }
}

void DaemonBackend::RunIn(CellResult& result, const Look& look) {
  const fs::path run = dir_ / "run";
  LocalCluster cluster = MakeCluster(
      ClusterOf(recipe_, result.cell, data_.For(result.cell.nodes)), run);
  Plan(cluster, result);
  Daemons daemons(daemon_, std::move(cluster), run);
  CellRun(recipe_, daemons, interrupts_, result).Run(look);
}

CellResult DaemonBackend::Run(const MatrixCell& cell, const Look& look) {
  CellResult result;
  result.cell = cell;
  const auto known =
      std::find(recipe_.cells.begin(), recipe_.cells.end(), cell);
  result.id =
      recipe_.ids.at(static_cast<std::size_t>(known - recipe_.cells.begin()));
  const MachineWatch machine;
  ClearRun(dir_ / "run");
  try {
    RunIn(result, look);
  } catch (const ConfigRefused& refusal) {
    result.outcome = Outcome::kRefused;
    result.why = Explain(refusal.what());
  } catch (const Interrupted&) {
    ClearRun(dir_ / "run");
    throw;
  } catch (const std::exception& error) {
    result.outcome = Outcome::kFailed;
    result.why = error.what();
  }
  result.others_fraction = machine.Report()["others_fraction"];
  KeepLogs(result);
  ClearRun(dir_ / "run");
  return result;
}

std::unique_ptr<Backend> MakeBackend(const Recipe& recipe, const fs::path& dir,
                                     Interrupts& interrupts) {
  if (recipe.backend == "sim") return std::make_unique<SimBackend>(recipe);
  return std::make_unique<DaemonBackend>(recipe, dir, interrupts);
}

}  // namespace hearsay::ops
