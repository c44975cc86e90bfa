#include "daemon/mixing/topology.h"

#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "daemon/mixing/shuffle.h"

namespace hearsay::mixing {

namespace {

class Ring final : public Topology {
 public:
  Ring(std::size_t n, bool both_ways) : n_(n), both_ways_(both_ways) {}
  std::optional<std::size_t> Peer(std::size_t self,
                                  std::uint64_t round) const override {
    const bool back = both_ways_ && round % 2 == 1;
    return (self + (back ? n_ - 1 : 1)) % n_;
  }
  std::uint64_t period() const override { return both_ways_ ? 2 : 1; }

 private:
  const std::size_t n_;
  const bool both_ways_;
};

// Source: Assran et al. 2019, 1811.10792, appendix A; Ying et al. 2021,
// 2110.13363 (exact after log2 n rounds).
class Exponential final : public Topology {
 public:
  explicit Exponential(std::size_t n)
      : n_(n), hops_(static_cast<std::uint64_t>(std::bit_width(n - 1))) {}
  std::optional<std::size_t> Peer(std::size_t self,
                                  std::uint64_t round) const override {
    return (self + (std::size_t{1} << (round % hops_))) % n_;
  }
  std::uint64_t period() const override { return hops_; }

 private:
  const std::size_t n_;
  const std::uint64_t hops_;
};

// Whoever stands at an even place of the round's shuffle asks who is next in
// it; of an odd number the last one rests.
class RandomMatching final : public Topology {
 public:
  RandomMatching(std::size_t n, std::uint64_t seed) : n_(n), seed_(seed) {}
  std::optional<std::size_t> Peer(std::size_t self,
                                  std::uint64_t round) const override {
    const Shuffle shuffle(n_, Mix(seed_, round));
    const auto place = shuffle.PlaceOf(self);
    if (place % 2 == 1 || place + 1 == n_) return std::nullopt;
    return shuffle.At(place + 1);
  }
  std::uint64_t period() const override { return 0; }

 private:
  const std::size_t n_;
  const std::uint64_t seed_;
};

class Torus final : public Topology {
 public:
  explicit Torus(std::size_t n) : rows_(Rows(n)), columns_(n / rows_) {}
  std::optional<std::size_t> Peer(std::size_t self,
                                  std::uint64_t round) const override {
    const auto row = self / columns_;
    const auto column = self % columns_;
    if (round % 2 == 0 || rows_ == 1)
      return row * columns_ + (column + 1) % columns_;
    return (row + 1) % rows_ * columns_ + column;
  }
  std::uint64_t period() const override { return rows_ == 1 ? 1 : 2; }

 private:
  // The largest divisor up to the root: 1, a ring, if n is prime.
  static std::size_t Rows(std::size_t n) {
    auto rows = static_cast<std::size_t>(std::sqrt(static_cast<double>(n)));
    while (rows > 1 && n % rows != 0) --rows;
    return std::max<std::size_t>(rows, 1);
  }
  const std::size_t rows_, columns_;
};

class Complete final : public Topology {
 public:
  Complete(std::size_t n, std::uint64_t seed) : n_(n), seed_(seed) {}
  std::optional<std::size_t> Peer(std::size_t self,
                                  std::uint64_t round) const override {
    const auto hop = 1 + Mix(Mix(seed_, round), self) % (n_ - 1);
    return (self + hop) % n_;
  }
  std::uint64_t period() const override { return 0; }

 private:
  const std::size_t n_;
  const std::uint64_t seed_;
};

// Fast links inside a group, few between: each kBetweenGroups-th exchange goes
// to the member of the same rank in the next group. Who is alone in its group
// always asks the next one.
class Hierarchical final : public Topology {
 public:
  Hierarchical(std::size_t n, std::span<const std::uint32_t> labels)
      : group_(n), rank_(n) {
    const auto block = std::max<std::size_t>(
        static_cast<std::size_t>(
            std::lround(std::sqrt(static_cast<double>(n)))),
        1);
    std::vector<std::uint32_t> seen;  // labels, in order of appearance
    for (std::size_t i = 0; i < n; ++i) {
      const auto label =
          labels.empty() ? static_cast<std::uint32_t>(i / block) : labels[i];
      std::size_t at = 0;
      while (at < seen.size() && seen[at] != label) ++at;
      // Blocks come in order, so the last one seen is it or a new one is.
      if (at == seen.size()) {
        seen.push_back(label);
        members_.emplace_back();
      }
      group_[i] = at;
      rank_[i] = members_[at].size();
      members_[at].push_back(i);
    }
  }

  std::optional<std::size_t> Peer(std::size_t self,
                                  std::uint64_t round) const override {
    const auto& own = members_[group_[self]];
    const bool between =
        members_.size() > 1 &&
        (own.size() == 1 || round % kBetweenGroups == kBetweenGroups - 1);
    if (!between) return own[(rank_[self] + 1) % own.size()];
    const auto& next = members_[(group_[self] + 1) % members_.size()];
    return next[rank_[self] % next.size()];
  }
  std::uint64_t period() const override { return kBetweenGroups; }

 private:
  std::vector<std::size_t> group_;  // of each member
  std::vector<std::size_t> rank_;   // in its group
  std::vector<std::vector<std::size_t>> members_;
};

class Listed final : public Topology {
 public:
  explicit Listed(std::vector<std::vector<std::size_t>> peers)
      : peers_(std::move(peers)) {
    for (const auto& list : peers_)
      if (!list.empty()) period_ = std::max(period_, list.size());
  }
  std::optional<std::size_t> Peer(std::size_t self,
                                  std::uint64_t round) const override {
    const auto& list = peers_[self];
    if (list.empty()) return std::nullopt;
    return list[round % list.size()];
  }
  // Of the longest list: enough to see everybody's peers.
  std::uint64_t period() const override { return period_; }

 private:
  const std::vector<std::vector<std::size_t>> peers_;
  std::size_t period_ = 1;
};

class Alone final : public Topology {
 public:
  std::optional<std::size_t> Peer(std::size_t, std::uint64_t) const override {
    return std::nullopt;
  }
  std::uint64_t period() const override { return 1; }
};

constexpr std::array<std::pair<TopologyKind, const char*>, 7> kWords = {{
    {TopologyKind::kRing, "ring"},
    {TopologyKind::kExponential, "exponential"},
    {TopologyKind::kRandomMatching, "random_matching"},
    {TopologyKind::kTorus, "torus"},
    {TopologyKind::kComplete, "complete"},
    {TopologyKind::kHierarchical, "hierarchical"},
    {TopologyKind::kFile, "file:PATH"},
}};

}  // namespace

std::unique_ptr<Topology> MakeTopology(TopologyKind kind, Membership members) {
  const auto n = members.count;
  if (n < 2) return std::make_unique<Alone>();
  switch (kind) {
    case TopologyKind::kRing:
      return std::make_unique<Ring>(n, members.both_ways);
    case TopologyKind::kExponential:
      return std::make_unique<Exponential>(n);
    case TopologyKind::kRandomMatching:
      return std::make_unique<RandomMatching>(n, members.seed);
    case TopologyKind::kTorus:
      return std::make_unique<Torus>(n);
    case TopologyKind::kComplete:
      return std::make_unique<Complete>(n, members.seed);
    case TopologyKind::kHierarchical:
      return std::make_unique<Hierarchical>(n, members.groups);
    case TopologyKind::kFile:
      return std::make_unique<Listed>(std::move(members.peers));
  }
  return nullptr;
}

std::optional<TopologyName> ParseTopology(std::string_view text) {
  constexpr std::string_view kFilePrefix = "file:";
  if (text.starts_with(kFilePrefix) && text.size() > kFilePrefix.size())
    return TopologyName{TopologyKind::kFile,
                        std::string(text.substr(kFilePrefix.size()))};
  for (const auto& [kind, word] : kWords)
    if (text == word && kind != TopologyKind::kFile)
      return TopologyName{kind, {}};
  return std::nullopt;
}

const char* Word(TopologyKind kind) {
  for (const auto& [known, word] : kWords)
    if (kind == known) return kind == TopologyKind::kFile ? "file" : word;
  return "";
}

std::vector<std::string> TopologyWords() {
  std::vector<std::string> words;
  words.reserve(kWords.size());
  for (const auto& [kind, word] : kWords) words.emplace_back(word);
  return words;
}

}  // namespace hearsay::mixing
