// up and down: a local cluster of real daemons, one process each, on loopback.
//
// DIR/cluster.json            who they are and their last pids
// DIR/tls                     its CA, and the certificates of its nodes
// DIR/NAME/hearsayd.toml      a node's configuration
// DIR/NAME/hearsayd.log       what it said
// DIR/NAME/state, ledger      what it must not lose
#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>

#include "ops/cli/client.h"
#include "ops/cli/new_cluster.h"
#include "ops/cli/process.h"
#include "ops/cli/progress.h"
#include "ops/cli/table.h"
#include "ops/cli/target.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {
namespace {

namespace fs = std::filesystem;

constexpr int kMostNodes = 64;
constexpr auto kLookEvery = std::chrono::milliseconds(50);
// To open and check a shard and to bind; the machine may be busy.
constexpr auto kStartPatience = std::chrono::seconds(60);
constexpr auto kStopPatience = std::chrono::seconds(20);
constexpr auto kPing = std::chrono::milliseconds(1000);
constexpr int kHttpOk = 200;

struct UpOptions : NewCluster {
  std::string dir;
  std::string output = "table";
  bool wait = false;
};

LocalCluster FindCluster(const UpOptions& options, const fs::path& dir) {
  if (!HasLocalCluster(dir)) return MakeCluster(options, dir);
  if (!options.data.empty() || !options.config.empty() ||
      !options.settings.empty())
    throw Exit(kUsage,
               fmt::format("{} holds a cluster already, which keeps its data "
                           "and configuration: leave out --data, --config and "
                           "--set (edit DIR/NAME/hearsayd.toml instead)",
                           options.dir));
  LocalCluster cluster = ReadLocalCluster(dir);
  const auto size = static_cast<int>(cluster.nodes.size());
  if (options.nodes != 0 && options.nodes != size)
    throw Exit(kUsage, fmt::format("{} holds a cluster of {} nodes, not {}",
                                   options.dir, size, options.nodes));
  return cluster;
}

bool Answers(const LocalNode& node, const char* target) {
  try {
    return Ask({.name = node.name,
                .address = "unix:" + node.unix_socket.string(),
                .token = {}},
               "GET", target, kPing)
               .status == kHttpOk;
  } catch (const Unreachable&) {
    return false;
  }
}

// Watches over the nodes that this process started.
class Starting {
 public:
  explicit Starting(std::vector<LocalNode> nodes) : nodes_(std::move(nodes)) {}

  // Throws: Exit(kError) if one ends or is not there in time; the others that
  // were started with it are stopped.
  void Until(const char* target, const char* word,
             std::optional<std::chrono::seconds> patience) {
    const auto start = std::chrono::steady_clock::now();
    std::set<std::string> there;
    while (there.size() < nodes_.size()) {
      for (const auto& node : nodes_) {
        if (const auto end = HowItEnded(node.pid)) Fail(node, *end);
        if (!there.contains(node.name) && Answers(node, target))
          there.insert(node.name);
      }
      if (there.size() == nodes_.size()) return;
      if (patience && std::chrono::steady_clock::now() - start > *patience)
        for (const auto& node : nodes_)
          if (!there.contains(node.name))
            Fail(node,
                 fmt::format("is not {} after {} s", word, patience->count()));
      progress_.Show(
          fmt::format("{} of {} nodes {}", there.size(), nodes_.size(), word));
      std::this_thread::sleep_for(kLookEvery);
    }
  }

 private:
  [[noreturn]] void Fail(const LocalNode& failed, const std::string& how) {
    std::size_t others = 0;
    for (const auto& node : nodes_)
      if (node.name != failed.name && HowItEnded(node.pid) == std::nullopt) {
        StopDaemon(node, kStopPatience);
        ++others;
      }
    StopDaemon(failed, kStopPatience);
    throw Exit(kError,
               fmt::format("{} {}: {} (all of it: {}){}", failed.name, how,
                           LastLine(failed.log()), failed.log().string(),
                           others > 0 ? "; stopped the others" : ""));
  }

  const std::vector<LocalNode> nodes_;
  Progress progress_;
};

void Report(const UpOptions& options, const fs::path& dir,
            const LocalCluster& cluster) {
  if (options.output == "json") {
    std::ifstream file(dir / "cluster.json");
    Print(Json::parse(file));
    return;
  }
  Table table({{"NODE"}, {"PID", Align::kRight}, {"HTTP"}, {"LOG"}});
  for (const auto& node : cluster.nodes) {
    std::ifstream file(node.state_dir / "admin.json");
    const Json admin = Json::parse(file, nullptr, false);
    table.Add({node.name, std::to_string(node.pid), Cell(At(admin, "http")),
               fs::path(options.dir) / node.log().lexically_relative(dir)});
  }
  Print(table);
  fmt::print(stderr,
             "watch it: hearsay status --dir {0} --cluster --watch\n"
             "stop it:  hearsay down --dir {0}\n",
             options.dir);
}

void Up(const UpOptions& options) {
  const fs::path dir = fs::absolute(options.dir).lexically_normal();
  const fs::path daemon = FindDaemon();
  LocalCluster cluster = FindCluster(options, dir);
  std::vector<LocalNode> started;
  // Ctrl-C must not fall between starting a daemon and noting its pid.
  sigset_t endings;
  sigemptyset(&endings);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    sigaddset(&endings, signal);
  sigprocmask(SIG_BLOCK, &endings, nullptr);
  for (auto& node : cluster.nodes) {
    if (IsRunning(node)) continue;
    node.pid = StartDaemon(daemon, node);
    started.push_back(node);
  }
  if (started.empty())
    throw Exit(kError, fmt::format("{}: all its nodes are running already; "
                                   "`hearsay down --dir {}` stops them",
                                   options.dir, options.dir));
  WriteLocalCluster(dir, cluster);
  sigprocmask(SIG_UNBLOCK, &endings, nullptr);
  Starting starting(started);
  starting.Until("/livez", "started", kStartPatience);
  if (options.wait) starting.Until("/readyz", "ready", std::nullopt);
  Report(options, dir, cluster);
}

void Down(const std::string& dir) {
  const LocalCluster cluster = ReadLocalCluster(dir);
  Progress progress;
  std::vector<LocalNode> running;
  for (const auto& node : cluster.nodes)
    if (IsRunning(node)) running.push_back(node);
  // All at once first: each writes its checkpoint while the others do.
  for (const auto& node : running) kill(node.pid, SIGTERM);
  for (const auto& node : running) {
    progress.Show(fmt::format("stopping {}", node.name));
    if (!StopDaemon(node, kStopPatience))
      progress.Say(
          fmt::format("hearsay: {} did not stop within {} s and was "
                      "killed; it resumes from its last checkpoint",
                      node.name, kStopPatience.count()));
  }
  if (running.empty())
    fmt::print("nothing was running in {}\n", dir);
  else
    fmt::print("{} of {} nodes stopped; `hearsay up --dir {}` resumes\n",
               running.size(), cluster.nodes.size(), dir);
}

}  // namespace

void AddClusterVerbs(CLI::App& app) {
  auto* up = app.add_subcommand(
      "up", "Start a local cluster, or start a stopped one again");
  const auto options = std::make_shared<UpOptions>();
  up->add_option("--nodes", options->nodes, "How many (one process each)")
      ->check(CLI::Range(1, kMostNodes));
  up->add_option("--data", options->data,
                 "Folder of shards; node i takes part-i.safetensors");
  up->add_option("--config", options->config,
                 "Template: any sections of hearsayd.toml; the rest has "
                 "defaults");
  up->add_option("--set", options->settings,
                 "Override a key on all nodes: train.steps=100")
      ->allow_extra_args(false);
  up->add_option("--dir", options->dir, "The cluster's folder")->required();
  up->add_flag("--wait", options->wait, "Return when all nodes are ready");
  up->add_option("-o,--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  up->callback([options] { Up(*options); });

  auto* down = app.add_subcommand("down", "Stop a local cluster");
  const auto dir = std::make_shared<std::string>();
  down->add_option("--dir", *dir, "The cluster's folder")->required();
  down->callback([dir] { Down(*dir); });
}

}  // namespace hearsay::ops
