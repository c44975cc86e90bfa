// The shortest hearsayd.toml of a node that trains, for tests of verbs that
// read one: what a test is about is what it adds.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

namespace hearsay::tests {

// Lines of each section beyond those that all have.
struct NodeFile {
  std::string cluster = {};
  std::string train = "steps = 600\nsample_rate = 0.02\n";
  std::string privacy = {};
  std::string more = {};  // Whole sections.
  std::string shard = "part-0.safetensors";

  void Write(const std::filesystem::path& file) const {
    std::ofstream(file) << R"([node]
name = "a"
state_dir = "state"
[tls]
mode = "off"
[model]
loss = "softmax_cross_entropy"
[[model.layer]]
type = "dense"
units = 2
[data]
train = ")" << shard << "\"\n[cluster]\nname = \"c\"\n"
                        << cluster << "\n[train]\npublic_size = 1000\n"
                        << train << "\n[privacy]\nledger = \"ledger\"\n"
                        << privacy << "\n"
                        << more << "\n";
  }
};

inline constexpr const char* kThreePeers =
    "peers = [\"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:3\"]\n";

}  // namespace hearsay::tests
