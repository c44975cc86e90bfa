// up and down: a local cluster of real daemons, one process each, on loopback.
//
// DIR/cluster.json            who they are and their last pids
// DIR/tls                     its CA, and the certificates of its nodes
// DIR/NAME/hearsayd.toml      a node's configuration
// DIR/NAME/hearsayd.log       what it said
// DIR/NAME/state, ledger      what it must not lose
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "daemon/config.h"
#include "model/shard.h"
#include "ops/cli/client.h"
#include "ops/cli/node_config.h"
#include "ops/cli/process.h"
#include "ops/cli/progress.h"
#include "ops/cli/table.h"
#include "ops/cli/target.h"
#include "ops/cli/verbs.h"
#include "transport/tls/authority.h"

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

struct UpOptions {
  int nodes = 0;
  std::string data;
  std::string config;
  std::vector<std::string> settings;
  std::string dir;
  std::string output = "table";
  bool wait = false;
};

std::string NameOf(int index) {
  constexpr int kLetters = 26;
  if (index < kLetters) return std::string(1, static_cast<char>('a' + index));
  return fmt::format("n{}", index);
}

// Free now, and below the range from which the system lends ports to clients,
// so that they are most likely still free when a stopped cluster comes back.
std::vector<std::string> FreeAddresses(int count) {
  constexpr int kLow = 20000;
  constexpr int kHigh = 32000;
  constexpr int kTries = 5000;
  std::mt19937 random(std::random_device{}());
  std::uniform_int_distribution<int> any(kLow, kHigh);
  std::set<int> ports;
  for (int i = 0; i < kTries && static_cast<int>(ports.size()) < count; ++i) {
    const int port = any(random);
    const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    if (bind(probe, reinterpret_cast<const sockaddr*>(&address),
             sizeof(address)) == 0)
      ports.insert(port);
    close(probe);
  }
  if (static_cast<int>(ports.size()) < count)
    throw Exit(kError, fmt::format("found no {} free ports from {} to {}",
                                   count, kLow, kHigh));
  std::vector<std::string> addresses;
  for (const int port : ports)
    addresses.push_back(fmt::format("127.0.0.1:{}", port));
  return addresses;
}

// Removes what it made, unless the cluster came to be.
class NewFolder {
 public:
  explicit NewFolder(const fs::path& dir) : dir_(dir) {
    if (fs::exists(dir) && !fs::is_empty(dir))
      throw Exit(kError, fmt::format("{}: is not empty and holds no cluster; "
                                     "choose another --dir",
                                     dir.string()));
    std::error_code error;
    fs::create_directories(dir, error);
    if (error)
      throw Exit(kError, fmt::format("{}: cannot make this folder: {}",
                                     dir.string(), error.message()));
  }
  ~NewFolder() {
    std::error_code ignored;
    if (!kept_) fs::remove_all(dir_, ignored);
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  void Keep() { kept_ = true; }

 private:
  const fs::path dir_;
  bool kept_ = false;
};

std::vector<ShardFacts> CheckData(const UpOptions& options) {
  const fs::path data = fs::absolute(options.data).lexically_normal();
  if (!fs::is_directory(data))
    throw Exit(kError, fmt::format("--data {}: no such folder; `hearsay prep "
                                   "--out` makes one",
                                   options.data));
  fs::path eval = data / "eval.safetensors";
  if (!fs::exists(eval)) {
    fmt::print(stderr,
               "hearsay: {} has no eval.safetensors: the nodes will "
               "not report an accuracy\n",
               options.data);
    eval.clear();
  }
  std::vector<ShardFacts> facts;
  std::string fingerprint;
  for (int i = 0; i < options.nodes; ++i) {
    const fs::path part = data / fmt::format("part-{}.safetensors", i);
    if (!fs::exists(part))
      throw Exit(kError, fmt::format("{}: missing; {} nodes need part-0 to "
                                     "part-{} (hearsay prep --shards {})",
                                     part.string(), options.nodes,
                                     options.nodes - 1, options.nodes));
    const auto shard = model::Shard::Open(part);
    if (i == 0) fingerprint = shard.schema_fingerprint();
    if (shard.schema_fingerprint() != fingerprint)
      throw Exit(kError, fmt::format("{}: its columns are not those of part-0; "
                                     "prepare all shards with one schema",
                                     part.string()));
    facts.push_back({part, eval, shard.public_size(), shard.classes()});
  }
  return facts;
}

void WriteText(const fs::path& file, const std::string& text) {
  std::ofstream stream(file);
  stream << text;
  stream.close();
  if (!stream)
    throw Exit(kError,
               fmt::format("{}: cannot write this file", file.string()));
}

// Letters that a cluster's name may have, from the folder's.
std::string ClusterNameOf(const fs::path& dir) {
  std::string name;
  for (const char c : dir.filename().string())
    name +=
        std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_'
            ? c
            : '-';
  return name.empty() ? "local" : name.substr(0, 64);
}

void CheckConfig(const fs::path& file, const ConfigTemplate& config) {
  try {
    daemon::LoadConfig(file, {});
  } catch (const daemon::ConfigError& error) {
    throw Exit(kError, config.Explain(error.what()));
  }
}

// The folder, or "" if the cluster is to do without.
fs::path MakeCertificates(const fs::path& dir, const ConfigTemplate& config,
                          const std::string& cluster, int nodes) {
  namespace tls = transport::tls;
  if (!config.needs_certificates()) return {};
  constexpr std::chrono::days kLocalCluster{3650};
  const auto now = tls::WallNow();
  const tls::Validity validity{now - std::chrono::hours(1),
                               now + kLocalCluster};
  fs::path folder = dir / "tls";
  tls::Authority::Create(folder, cluster, validity);
  tls::Authority authority(folder);
  for (int i = 0; i < nodes; ++i)
    authority.Issue(NameOf(i), validity, folder,
                    tls::Authority::IfThere::kRefuse);
  return folder;
}

LocalCluster MakeCluster(const UpOptions& options, const fs::path& dir) {
  if (options.nodes == 0) throw Exit(kUsage, "a new cluster needs --nodes N");
  const ConfigTemplate config(options.config, options.settings);
  if (config.needs_data() && options.data.empty())
    throw Exit(kUsage,
               "a new cluster needs --data DIR, the shards that "
               "`hearsay prep` made");
  for (const auto& key : config.replaced())
    fmt::print(stderr, "hearsay: {}: {} is filled in for each node; ignored\n",
               options.config, key);
  std::vector<ShardFacts> shards;
  if (config.needs_data()) shards = CheckData(options);

  const auto socket = [&](int i) {
    return dir / NameOf(i) / "state" / "admin.sock";
  };
  constexpr std::size_t kLongest = sizeof(sockaddr_un::sun_path) - 1;
  if (const auto longest = socket(options.nodes - 1).string();
      longest.size() > kLongest)
    throw Exit(kError, fmt::format("{}: a unix socket's path has at most {} "
                                   "bytes, this one {}; choose a shorter --dir",
                                   longest, kLongest, longest.size()));

  NewFolder folder(dir);
  LocalCluster cluster;
  cluster.name = config.cluster_name().value_or(ClusterNameOf(dir));
  const auto addresses = FreeAddresses(options.nodes);
  const auto certificates =
      MakeCertificates(dir, config, cluster.name, options.nodes);
  for (int i = 0; i < options.nodes; ++i) {
    const auto at = static_cast<std::size_t>(i);
    NodePlace place{NameOf(i),     i,         dir / NameOf(i),
                    addresses[at], addresses, certificates};
    place.peers.erase(place.peers.begin() + i);
    fs::create_directories(place.folder / "state");
    const fs::path file = place.folder / "hearsayd.toml";
    WriteText(file, config.TextFor(place, options.nodes, cluster.name,
                                   shards.empty() ? std::nullopt
                                                  : std::optional(shards[at])));
    CheckConfig(file, config);
    cluster.nodes.push_back(
        {place.name, 0, file, place.folder / "state", socket(i)});
  }
  WriteLocalCluster(dir, cluster);
  folder.Keep();
  return cluster;
}

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
    std::puts(Json::parse(file).dump(2).c_str());
    return;
  }
  Table table({{"NODE"}, {"PID", Align::kRight}, {"HTTP"}, {"LOG"}});
  for (const auto& node : cluster.nodes) {
    std::ifstream file(node.state_dir / "admin.json");
    const Json admin = Json::parse(file, nullptr, false);
    table.Add({node.name, std::to_string(node.pid), Cell(At(admin, "http")),
               fs::path(options.dir) / node.log().lexically_relative(dir)});
  }
  std::fputs(table.Text().c_str(), stdout);
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
