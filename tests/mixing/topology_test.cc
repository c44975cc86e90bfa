// Who asks whom, against closed forms of how fast it mixes.
#include "daemon/mixing/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>

#include "daemon/mixing/shuffle.h"

namespace hearsay::mixing {
namespace {

using testing::HasSubstr;
using Values = std::vector<double>;

std::unique_ptr<Topology> Make(TopologyKind kind, std::size_t n,
                               std::uint64_t seed = 1) {
  return MakeTopology(kind, {.count = n, .seed = seed});
}

// Everybody asks at the same moment, and moves half way to whom it asks.
Values OneWayRound(const Topology& topology, std::uint64_t round,
                   const Values& w) {
  Values next = w;
  for (std::size_t i = 0; i < w.size(); ++i)
    if (const auto peer = topology.Peer(i, round))
      next[i] = (w[i] + w[*peer]) / 2;
  return next;
}

// Whoever asks and whoever is asked move to the middle.
Values PairwiseRound(const Topology& topology, std::uint64_t round, Values w) {
  for (std::size_t i = 0; i < w.size(); ++i)
    if (const auto peer = topology.Peer(i, round))
      w[i] = w[*peer] = (w[i] + w[*peer]) / 2;
  return w;
}

double Disagreement(const Values& w) {
  const double mean =
      std::accumulate(w.begin(), w.end(), 0.0) / static_cast<double>(w.size());
  double sum = 0;
  for (const double v : w) sum += (v - mean) * (v - mean);
  return std::sqrt(sum);
}

Values Random(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  Values w(n);
  for (double& v : w) v = normal(random);
  return w;
}

TEST(RingTest, ReproducesTheThreeWorkerTable) {
  // Worker A hears B, B hears C, C hears A: the table's, with the names turned.
  const auto ring = Make(TopologyKind::kRing, 3);
  const double a = 1, b = 10, c = 100;
  const auto once = OneWayRound(*ring, 0, {a, b, c});
  EXPECT_EQ(once, (Values{(a + b) / 2, (b + c) / 2, (c + a) / 2}));
  const auto twice = OneWayRound(*ring, 1, once);
  EXPECT_DOUBLE_EQ(twice[0], (a + 2 * b + c) / 4);
  EXPECT_DOUBLE_EQ(twice[1], (b + 2 * c + a) / 4);
  EXPECT_DOUBLE_EQ(twice[2], (c + 2 * a + b) / 4);
}

TEST(RingTest, DisagreementDecaysAsTheCosineOfPiOverNForAllN) {
  for (std::size_t n = 2; n <= 64; ++n) {
    const auto ring = Make(TopologyKind::kRing, n);
    // The slowest mode: it decays by rho from the first round on.
    Values w(n);
    for (std::size_t i = 0; i < n; ++i)
      w[i] =
          std::cos(2 * M_PI * static_cast<double>(i) / static_cast<double>(n));
    const double start = Disagreement(w);
    const double rho = std::cos(M_PI / static_cast<double>(n));
    for (int t = 1; t <= 100; ++t) {
      w = OneWayRound(*ring, 0, w);
      ASSERT_NEAR(Disagreement(w) / start, std::pow(rho, t), 1e-12)
          << "n = " << n << ", t = " << t;
    }
  }
}

TEST(RingTest, GoesBothWaysInTurnsWhereOnlyEveryOtherAsks) {
  const auto ring =
      MakeTopology(TopologyKind::kRing, {.count = 4, .both_ways = true});
  EXPECT_EQ(ring->Peer(0, 0), 1U);
  EXPECT_EQ(ring->Peer(0, 1), 3U);
  EXPECT_EQ(ring->Peer(2, 1), 1U);
}

TEST(ExponentialTest, AveragesExactlyInLog2NRoundsForPowersOfTwo) {
  for (std::size_t n = 2, rounds = 1; n <= 1024; n *= 2, ++rounds) {
    const auto topology = Make(TopologyKind::kExponential, n);
    EXPECT_EQ(topology->period(), rounds);
    Values w(n);
    std::iota(w.begin(), w.end(), 0.0);  // Sums of these are exact.
    for (std::uint64_t t = 0; t < rounds; ++t) w = OneWayRound(*topology, t, w);
    for (const double v : w) EXPECT_EQ(v, static_cast<double>(n - 1) / 2) << n;
  }
}

TEST(RandomMatchingTest, PairsEverybodyWithSomebodyElseEachRound) {
  for (const std::size_t n : {2, 3, 8, 17, 64, 101}) {
    const auto topology = Make(TopologyKind::kRandomMatching, n);
    std::set<std::set<std::size_t>> pairs;
    for (std::uint64_t round = 0; round < 50; ++round) {
      std::set<std::size_t> seen;
      for (std::size_t i = 0; i < n; ++i)
        if (const auto peer = topology->Peer(i, round)) {
          EXPECT_TRUE(seen.insert(i).second);
          EXPECT_TRUE(seen.insert(*peer).second);
          pairs.insert({i, *peer});
        }
      EXPECT_EQ(seen.size(), n - n % 2) << n;
    }
    EXPECT_GE(pairs.size(), n / 2);
    if (n == 64) {
      EXPECT_GT(pairs.size(), 800U) << "others each round";
    }
  }
}

TEST(RandomMatchingTest, AveragesIn20RoundsOrSoAt64) {
  int rounds = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto topology = Make(TopologyKind::kRandomMatching, 64, seed);
    auto w = Random(64, seed);
    const double start = Disagreement(w);
    for (std::uint64_t t = 0; Disagreement(w) > 1e-3 * start; ++t, ++rounds)
      w = PairwiseRound(*topology, t, std::move(w));
  }
  // A matching halves the variance: 2 log2(1000) = 19.9 rounds. Seeds are
  // fixed.
  EXPECT_NEAR(rounds / 20.0, 20, 2);
}

TEST(RandomMatchingTest, AnotherSeedIsAnotherMatching) {
  int same = 0;
  const auto one = Make(TopologyKind::kRandomMatching, 64, 1);
  const auto other = Make(TopologyKind::kRandomMatching, 64, 2);
  for (std::size_t i = 0; i < 64; ++i)
    same += one->Peer(i, 0) && one->Peer(i, 0) == other->Peer(i, 0);
  EXPECT_LT(same, 8);
}

// W of both directions, one after the other, on an r x c torus: the slowest
// mode is that of the longer side.
TEST(TorusTest, DecaysAsItsLongerSide) {
  for (const auto& [n, side] : {std::pair{16, 4}, {64, 8}, {12, 4}, {7, 7}}) {
    const auto topology =
        Make(TopologyKind::kTorus, static_cast<std::size_t>(n));
    Values w(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < w.size(); ++i)
      w[i] = std::cos(2 * M_PI *
                      static_cast<double>(i % static_cast<std::size_t>(side)) /
                      side);
    const double start = Disagreement(w);
    for (std::uint64_t t = 0; t < 2 * 10; ++t) w = OneWayRound(*topology, t, w);
    const int rounds = topology->period() == 1 ? 20 : 10;
    EXPECT_NEAR(Disagreement(w) / start,
                std::pow(std::cos(M_PI / side), rounds), 1e-12)
        << n;
  }
}

TEST(CompleteTest, AsksEverybodyElseEquallyOften) {
  const auto topology = Make(TopologyKind::kComplete, 5);
  std::vector<int> asked(5);
  for (std::uint64_t round = 0; round < 4000; ++round)
    ++asked[*topology->Peer(2, round)];
  EXPECT_EQ(asked[2], 0);
  // 1,000 each; five standard deviations are 137.
  for (const std::size_t i : {0, 1, 3, 4}) EXPECT_NEAR(asked[i], 1000, 137);
}

TEST(HierarchicalTest, StaysInsideItsGroupButForEveryFourthExchange) {
  const std::vector<std::uint32_t> groups = {7, 7, 7, 9, 9, 9};
  const auto topology =
      MakeTopology(TopologyKind::kHierarchical, {.count = 6, .groups = groups});
  for (std::size_t i = 0; i < 6; ++i)
    for (std::uint64_t round = 0; round < 8; ++round) {
      const auto peer = *topology->Peer(i, round);
      EXPECT_EQ(groups[i] == groups[peer], round % 4 != 3) << i << " " << round;
    }
  EXPECT_EQ(topology->Peer(1, 3), 4U) << "of the same rank";
}

TEST(HierarchicalTest, WhoIsAloneInItsGroupAsksTheNextOne) {
  const std::vector<std::uint32_t> groups = {1, 2, 2};
  const auto topology =
      MakeTopology(TopologyKind::kHierarchical, {.count = 3, .groups = groups});
  EXPECT_EQ(topology->Peer(0, 0), 1U);
  EXPECT_EQ(topology->Peer(1, 0), 2U);
  EXPECT_EQ(topology->Peer(1, 3), 0U);
}

class EveryTopologyTest : public testing::TestWithParam<TopologyKind> {};

// For any number of members, as some die: whoever is asked is there, is not the
// asker, and everybody ends at one value.
TEST_P(EveryTopologyTest, IsConnectedForAnyNumberOfMembers) {
  for (std::size_t n = 1; n <= 40; ++n) {
    const auto topology = Make(GetParam(), n);
    auto w = Random(n, n);
    for (std::uint64_t round = 0; round < 4000; ++round) {
      for (std::size_t i = 0; i < n; ++i)
        if (const auto peer = topology->Peer(i, round)) {
          ASSERT_LT(*peer, n);
          ASSERT_NE(*peer, i);
        }
      w = PairwiseRound(*topology, round, std::move(w));
    }
    EXPECT_LT(Disagreement(w), 1e-3) << n;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, EveryTopologyTest,
    testing::Values(TopologyKind::kRing, TopologyKind::kExponential,
                    TopologyKind::kRandomMatching, TopologyKind::kTorus,
                    TopologyKind::kComplete, TopologyKind::kHierarchical),
    [](const auto& kind) { return std::string(Word(kind.param)); });

TEST(TopologyNameTest, IsAWordOrAFile) {
  for (const auto& word : TopologyWords())
    EXPECT_TRUE(ParseTopology(word)) << word;
  EXPECT_EQ(ParseTopology("file:a/b")->path, "a/b");
  for (const auto* word : {"", "Ring", "file:", "file", "star"})
    EXPECT_FALSE(ParseTopology(word)) << word;
}

TEST(AdjacencyTest, IsReadAndResolvedAmongThoseThatAreThere) {
  const auto adjacency = ParseAdjacency(
      "# who asks whom\n\na: b c   # in turn\r\n  b:\tc\nc: a x\nx: a");
  ASSERT_EQ(adjacency.lines.size(), 4U);
  const auto peers = Resolve(adjacency, {"a", "b", "c", "d"});
  EXPECT_EQ(peers,
            (std::vector<std::vector<std::size_t>>{{1, 2}, {2}, {0}, {}}));
  const auto topology =
      MakeTopology(TopologyKind::kFile, {.count = 4, .peers = peers});
  EXPECT_EQ(topology->Peer(0, 0), 1U);
  EXPECT_EQ(topology->Peer(0, 1), 2U);
  EXPECT_EQ(topology->Peer(1, 1), 2U);
  EXPECT_EQ(topology->Peer(3, 0), std::nullopt) << "it is not listed";
  EXPECT_EQ(topology->period(), 2U);
}

TEST(AdjacencyTest, WhatIsWrongIsSaidWithItsLine) {
  const auto error = [](const char* text) -> std::string {
    try {
      ParseAdjacency(text);
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(error("a: b\nb\n"), HasSubstr("2: no colon"));
  EXPECT_THAT(error("a b: c\n"), HasSubstr("1: one name"));
  EXPECT_THAT(error("\na:\n"), HasSubstr("2: a has no peer"));
  EXPECT_THAT(error("a: b\na: c\n"), HasSubstr("2: a has a line already"));
  EXPECT_THAT(error("a: a\n"), HasSubstr("1: a cannot ask itself"));
  EXPECT_THAT(error("a: b b\n"), HasSubstr("1: b stands there twice"));
  EXPECT_THAT(error("# nothing\n"), HasSubstr("there is no line"));
}

TEST(ShuffleTest, IsAnOrderOfAllAndGoesBothWays) {
  for (std::size_t n = 1; n <= 130; ++n) {
    const Shuffle shuffle(n, n * 977);
    std::vector<bool> seen(n);
    for (std::size_t place = 0; place < n; ++place) {
      const auto thing = shuffle.At(place);
      ASSERT_LT(thing, n);
      EXPECT_FALSE(seen[thing]);
      seen[thing] = true;
      EXPECT_EQ(shuffle.PlaceOf(thing), place);
    }
  }
}

}  // namespace
}  // namespace hearsay::mixing
