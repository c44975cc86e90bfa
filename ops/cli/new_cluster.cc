#include "ops/cli/new_cluster.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <optional>
#include <random>
#include <set>

#include "daemon/config.h"
#include "model/shard.h"
#include "ops/cli/node_config.h"
#include "ops/cli/verbs.h"
#include "transport/tls/authority.h"

namespace hearsay::ops {
namespace {

namespace fs = std::filesystem;

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

std::vector<ShardFacts> CheckData(const NewCluster& options) {
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
    throw ConfigRefused(config.Explain(error.what()));
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
    authority.Issue(NodeName(i), validity, folder,
                    tls::Authority::IfThere::kRefuse);
  return folder;
}

// What node `index` is made of.
ConfigTemplate TemplateOf(const NewCluster& options, int index) {
  auto settings = options.settings;
  if (const auto more = options.settings_of.find(index);
      more != options.settings_of.end())
    settings.insert(settings.end(), more->second.begin(), more->second.end());
  return {options.config, settings};
}

}  // namespace

std::string NodeName(int index) {
  constexpr int kLetters = 26;
  if (index < kLetters) return std::string(1, static_cast<char>('a' + index));
  return fmt::format("n{}", index);
}

LocalCluster MakeCluster(const NewCluster& options, const fs::path& dir) {
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
    return dir / NodeName(i) / "state" / "admin.sock";
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
    NodePlace place{NodeName(i),   i,         dir / NodeName(i),
                    addresses[at], addresses, certificates};
    place.peers.erase(place.peers.begin() + i);
    fs::create_directories(place.folder / "state");
    const fs::path file = place.folder / "hearsayd.toml";
    const ConfigTemplate own = TemplateOf(options, i);
    WriteText(file, own.TextFor(place, options.nodes, cluster.name,
                                shards.empty() ? std::nullopt
                                               : std::optional(shards[at])));
    CheckConfig(file, own);
    cluster.nodes.push_back(
        {place.name, 0, file, place.folder / "state", socket(i)});
  }
  WriteLocalCluster(dir, cluster);
  folder.Keep();
  return cluster;
}

}  // namespace hearsay::ops
