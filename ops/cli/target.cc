#include "ops/cli/target.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

namespace hearsay::ops {

using Json = nlohmann::ordered_json;

namespace {

std::filesystem::path FileOf(const std::filesystem::path& dir) {
  return dir / "cluster.json";
}

std::string ReadToken(const std::string& file) {
  if (file.empty()) return {};
  std::ifstream stream(file);
  std::string token;
  if (!std::getline(stream, token) || token.empty())
    throw Exit(kError,
               fmt::format("--token-file {}: cannot read a token there", file));
  return token;
}

std::vector<NodeAddress> OneAddress(const std::string& address,
                                    const Where& where) {
  return {
      {.name = "", .address = address, .token = ReadToken(where.token_file)}};
}

}  // namespace

bool HasLocalCluster(const std::filesystem::path& dir) {
  return std::filesystem::exists(FileOf(dir));
}

LocalCluster ReadLocalCluster(const std::filesystem::path& dir) {
  const auto file = FileOf(dir);
  std::ifstream stream(file);
  if (!stream)
    throw Exit(kError, fmt::format("{}: no cluster here (no cluster.json); "
                                   "start one with `hearsay up --dir {}`",
                                   dir.string(), dir.string()));
  try {
    const Json json = Json::parse(stream);
    LocalCluster cluster;
    cluster.name = json.at("cluster");
    for (const auto& node : json.at("nodes"))
      cluster.nodes.push_back({node.at("name"), node.at("pid"),
                               node.at("config").get<std::string>(),
                               node.at("state_dir").get<std::string>(),
                               node.at("unix").get<std::string>()});
    if (cluster.nodes.empty()) throw std::runtime_error("no nodes");
    return cluster;
  } catch (const std::exception& error) {
    throw Exit(kError, fmt::format("{}: damaged: {}; restore it, or stop the "
                                   "nodes by hand and remove {}",
                                   file.string(), error.what(), dir.string()));
  }
}

void WriteLocalCluster(const std::filesystem::path& dir,
                       const LocalCluster& cluster) {
  Json nodes = Json::array();
  for (const auto& node : cluster.nodes)
    nodes.push_back({{"name", node.name},
                     {"pid", node.pid},
                     {"config", node.config.string()},
                     {"state_dir", node.state_dir.string()},
                     {"unix", node.unix_socket.string()}});
  const Json json = {
      {"schema", 1}, {"cluster", cluster.name}, {"nodes", nodes}};
  const auto file = FileOf(dir);
  const auto aside = file.string() + ".new";
  std::ofstream stream(aside);
  stream << json.dump(2) << '\n';
  stream.close();
  std::error_code error;
  if (stream) std::filesystem::rename(aside, file, error);
  if (!stream || error)
    throw Exit(kError,
               fmt::format("{}: cannot write this file", file.string()));
}

void AddWhere(CLI::App& verb, Where& where) {
  auto* address = verb.add_option("--addr", where.address,
                                  "The daemon: HOST:PORT or unix:PATH (else "
                                  "$HEARSAY_ADDR)");
  auto* dir = verb.add_option("--dir", where.dir,
                              "The local cluster that `hearsay up` made there");
  verb.add_option("--node", where.node, "One node of --dir")->needs(dir);
  dir->excludes(address);
  verb.add_option("--token-file", where.token_file,
                  "What opens HOST:PORT: the node's STATE_DIR/admin.token "
                  "(else $HEARSAY_TOKEN_FILE)")
      ->envname("HEARSAY_TOKEN_FILE");
  verb.add_option("-o,--output", where.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
}

std::vector<NodeAddress> Resolve(const Where& where) {
  if (!where.address.empty()) return OneAddress(where.address, where);
  if (where.dir.empty()) {
    const char* set = std::getenv("HEARSAY_ADDR");
    if (set != nullptr && *set != '\0') return OneAddress(set, where);
    throw Exit(
        kUsage,
        "which daemon? Say --dir DIR (a cluster of `hearsay up`), --addr "
        "HOST:PORT|unix:PATH, or set HEARSAY_ADDR");
  }
  std::vector<NodeAddress> nodes;
  std::string names;
  for (const auto& node : ReadLocalCluster(where.dir).nodes) {
    names += (names.empty() ? "" : ", ") + node.name;
    if (where.node.empty() || where.node == node.name)
      nodes.push_back({.name = node.name,
                       .address = "unix:" + node.unix_socket.string(),
                       .token = {}});
  }
  if (nodes.empty())
    throw Exit(kUsage, fmt::format("{} has no node {}; it has {}", where.dir,
                                   where.node, names));
  return nodes;
}

Json AskAny(const Where& where, const std::string& method,
            const std::string& target) {
  const auto nodes = Resolve(where);
  for (std::size_t i = 0; i + 1 < nodes.size(); ++i) {
    try {
      return AskJson(nodes[i], method, target);
    } catch (const Unreachable&) {  // the next one may answer
    }
  }
  return AskJson(nodes.back(), method, target);
}

}  // namespace hearsay::ops
