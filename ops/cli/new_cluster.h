// Makes the folder of a local cluster: ports, certificates, and a configuration
// for each node. Starts nothing.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ops/cli/target.h"

namespace hearsay::ops {

// What the user said to `hearsay up`.
struct NewCluster {
  int nodes = 0;                      // 0: not said
  std::string data;                   // folder of shards; "": not said
  std::string config;                 // template; "": none
  std::vector<std::string> settings;  // "section.key=value"
  // More of them for single nodes: by index.
  std::map<int, std::vector<std::string>> settings_of = {};
};

// "a", "b" ... "z", "n26", ...
std::string NodeName(int index);

// The daemon would not take the configuration: exit 1, with its line.
class ConfigRefused : public Exit {
 public:
  explicit ConfigRefused(const std::string& message) : Exit(kError, message) {}
};

// Leaves nothing behind unless it returns.
// Throws: Exit, with what to do; ConfigRefused; tls::AuthorityError.
LocalCluster MakeCluster(const NewCluster& options,
                         const std::filesystem::path& dir);

}  // namespace hearsay::ops
