// Whom a member asks at its k-th exchange.
//
// Pure, by index: members are numbered 0 to n-1 in the order of their names, as
// each node sees who is alive; views that differ for a moment cost nothing,
// since an exchange between any two nodes conserves the mean. `round` counts a
// node's own exchanges. What is random is a function of a seed that all share,
// the round and the member, so all agree without a word.
//
// No call allocates; each takes constant time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace hearsay::mixing {

class Topology {
 public:
  virtual ~Topology() = default;
  // Nothing: nobody in this round. Never `self`.
  virtual std::optional<std::size_t> Peer(std::size_t self,
                                          std::uint64_t round) const = 0;
  // After so many rounds everything repeats; 0: never.
  virtual std::uint64_t period() const = 0;
};

enum class TopologyKind {
  kRing,            // the next one
  kExponential,     // i + 2^(round mod log2 n): exact in log2 n rounds for 2^k
  kRandomMatching,  // pairs, drawn anew each round; one of each pair asks
  kTorus,           // right, then down, in the most square rectangle
  kComplete,        // anybody, drawn each round
  kHierarchical,    // a ring inside each group; now and then the next group
  kFile,            // as written down
};

// Who may ask whom, by name. "a: b c" on a line of its own: a asks b and c in
// turn. What follows a # is a comment.
struct Adjacency {
  struct Line {
    std::string name;
    std::vector<std::string> peers;
  };
  std::vector<Line> lines;
};

// Throws: std::invalid_argument, "LINE: what is wrong".
Adjacency ParseAdjacency(std::string_view text);

// Of a configuration: "ring", ..., or "file:PATH".
struct TopologyName {
  TopologyKind kind = TopologyKind::kRing;
  std::string path;  // of kFile
};
std::optional<TopologyName> ParseTopology(std::string_view text);
const char* Word(TopologyKind kind);
std::vector<std::string> TopologyWords();

// Every so many rounds a member of a hierarchical topology asks the next group.
inline constexpr std::uint64_t kBetweenGroups = 4;

// The members that there are.
struct Membership {
  std::size_t count = 0;
  std::uint64_t seed = 0;
  // kRing: the next one and the one before in turns, for rules by which only
  // every other member asks.
  bool both_ways = false;
  // kHierarchical: the group of each; empty: blocks of about sqrt(count).
  std::span<const std::uint32_t> groups = {};
  // kFile: whom each may ask. Members that are not listed ask nobody.
  std::vector<std::vector<std::size_t>> peers = {};
};

std::unique_ptr<Topology> MakeTopology(TopologyKind kind, Membership members);

// An adjacency among the members of these names, in this order; others are left
// out.
std::vector<std::vector<std::size_t>> Resolve(
    const Adjacency& adjacency, const std::vector<std::string>& names);

}  // namespace hearsay::mixing
