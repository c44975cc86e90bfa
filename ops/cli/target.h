// Which daemons a verb speaks to: --addr, $HEARSAY_ADDR or --dir, the folder of
// a local cluster that `hearsay up` made and describes in DIR/cluster.json.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "ops/cli/client.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {

struct LocalNode {
  std::string name;
  pid_t pid = 0;                 // when last started
  std::filesystem::path config;  // all absolute
  std::filesystem::path state_dir;
  std::filesystem::path unix_socket;
  std::filesystem::path log() const {
    return config.parent_path() / "hearsayd.log";
  }
};

struct LocalCluster {
  std::string name;
  std::vector<LocalNode> nodes;
};

// True if `dir` holds a cluster.
bool HasLocalCluster(const std::filesystem::path& dir);
// Throws: Exit(kError) if there is none, or its file is damaged.
LocalCluster ReadLocalCluster(const std::filesystem::path& dir);
// Throws: Exit(kError).
void WriteLocalCluster(const std::filesystem::path& dir,
                       const LocalCluster& cluster);

// The options that every verb on nodes takes.
struct Where {
  std::string address;
  std::string dir;
  std::string node;        // of dir; "" = all, or any
  std::string token_file;  // of address
  std::string output = "table";
  bool json() const { return output == "json"; }
  bool local_cluster() const { return !dir.empty(); }
};
void AddWhere(CLI::App& verb, Where& where);

// At least one. Flags go before the environment.
// Throws: Exit(kUsage) if nothing says where, or --node names nobody;
// Exit(kError) as ReadLocalCluster, or if the token cannot be read.
std::vector<NodeAddress> Resolve(const Where& where);

// The first node that answers, for what any of them can tell or do.
// Throws: as AskJson; Exit as Resolve.
Json AskAny(const Where& where, const std::string& method,
            const std::string& target);

}  // namespace hearsay::ops
