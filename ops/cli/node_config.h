// The hearsayd.toml that `hearsay up` writes for each node of a local cluster:
// the user's template and --set values, completed with sane defaults and with
// what only `up` knows (names, ports, folders, data).
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ops/cli/verbs.h"

namespace hearsay::ops {

// What `up` decides for one node.
struct NodePlace {
  std::string name;
  int index = 0;
  std::filesystem::path folder;  // absolute; state and ledger live inside
  std::string listen;            // HOST:PORT
  std::vector<std::string> peers;
  std::filesystem::path tls;  // the CA's folder, with its NAME.pem; "" = off
};

// What the node's shard says about itself, all of it public.
struct ShardFacts {
  std::filesystem::path train;
  std::filesystem::path eval;  // "" if there is none
  std::int64_t public_size = 0;
  int classes = 0;  // 0: regression
};

class ConfigTemplate {
 public:
  // `file` may be empty: defaults only. `settings` are "section.key=value".
  // Throws: Exit(kUsage) for a setting that is none, or of a key that `up`
  // fills in; Exit(kError) if the file cannot be read or is not TOML.
  ConfigTemplate(std::filesystem::path file,
                 const std::vector<std::string>& settings);
  ~ConfigTemplate();

  // A cluster of probes (test.probe) trains on no data.
  bool needs_data() const;
  // Keys of the file that `up` replaces by values of its own.
  const std::vector<std::string>& replaced() const { return replaced_; }
  // Unless tls.mode is "off" (or something that the daemon will complain of).
  bool needs_certificates() const;
  // Its cluster.name, if it has one.
  std::optional<std::string> cluster_name() const;

  // The whole text, with a comment on every key.
  // Requires: `shard` if needs_data().
  std::string TextFor(const NodePlace& place, int members,
                      const std::string& cluster,
                      const std::optional<ShardFacts>& shard) const;

  // The daemon's complaint about a written file, told in terms of what the user
  // wrote: the template's line or the --set.
  std::string Explain(const std::string& complaint) const;

 private:
  struct Document;
  const std::filesystem::path file_;
  std::unique_ptr<Document> user_;  // the file with the settings
  std::map<std::string, std::string> settings_;
  std::vector<std::string> replaced_;
};

}  // namespace hearsay::ops
