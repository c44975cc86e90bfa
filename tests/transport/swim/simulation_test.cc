// Clusters of 3 to 64 nodes in virtual time, each fault with its invariant.
#include "tests/transport/swim/simulation.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hearsay::transport::swim {
namespace {

using std::chrono::seconds;

constexpr Milliseconds kSettle{3000};

// From the silence of a member until all others hold it failed, at worst: the
// first to probe it does so within two rounds of its own, n - 1 intervals each
// (in truth one of n - 1 does within two or three intervals), the suspicion
// lasts, and the news spreads in heartbeats.
Milliseconds WorstDetection(const Settings& settings, int nodes) {
  const double log = std::max(1.0, std::log10(nodes));
  const double suspicion =
      settings.suspicion_multiplier * log * settings.suspicion_max_multiplier;
  return Milliseconds(static_cast<std::int64_t>(
      (2 * nodes + 1 + suspicion) *
      static_cast<double>(settings.probe_interval.count())));
}

struct Harm {
  std::size_t suspicions = 0;
  std::size_t failures = 0;
};

// Done to nodes from number `first` on, in verdicts of any node.
Harm HarmFrom(Simulation& cluster, int first) {
  const auto counts = [first](const auto& verdict) {
    return std::stoi(verdict.of.substr(1)) >= first;
  };
  return {cluster.Count(State::kSuspect, counts),
          cluster.Count(State::kFailed, counts)};
}

// Heartbeats of large clusters are rarer, for the sake of the test's time.
Simulation::Options Of(int nodes, std::uint64_t seed = 1) {
  return {.nodes = nodes,
          .seed = seed,
          .heartbeat = Milliseconds(nodes > 20 ? 1000 : 250)};
}

class SizesTest : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Simulation, SizesTest, testing::Values(3, 8, 64),
                         testing::PrintToStringParamName());

TEST_P(SizesTest, AllMeetAndNobodyIsEverSuspected) {
  Simulation cluster(Of(GetParam()));
  ASSERT_TRUE(cluster.RunUntil([&] { return cluster.AllAlive(); }, kSettle));
  cluster.Run(seconds(20));
  EXPECT_TRUE(cluster.AllAlive());
  EXPECT_EQ(HarmFrom(cluster, 0).suspicions, 0U);
}

TEST_P(SizesTest, ASilentMemberIsFoundOutInTime) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Simulation cluster(Of(GetParam(), seed));
    cluster.Run(kSettle);
    cluster.Vanish(1);
    const auto start = cluster.now();
    ASSERT_TRUE(
        cluster.RunUntil([&] { return cluster.AllSay(1, State::kFailed); },
                         WorstDetection({}, GetParam())));
    RecordProperty("detection_ms_" + std::to_string(seed),
                   static_cast<int>((cluster.now() - start).count()));
    EXPECT_EQ(cluster.Count(State::kSuspect,
                            [](const auto& v) { return v.of != "n01"; }),
              0U);
  }
}

// A killed process closes its connections: nobody waits for a probe.
TEST_P(SizesTest, AKilledMemberIsSuspectedAtOnce) {
  Simulation cluster(Of(GetParam()));
  cluster.Run(kSettle);
  cluster.Kill(1);
  EXPECT_TRUE(cluster.RunUntil(
      [&] { return cluster.AllSay(1, State::kSuspect); }, Milliseconds(500)));
  const Settings settings;
  const auto shortest = Milliseconds(
      static_cast<std::int64_t>(1000 * settings.suspicion_multiplier *
                                std::max(1.0, std::log10(GetParam()))));
  EXPECT_TRUE(
      cluster.RunUntil([&] { return cluster.AllSay(1, State::kFailed); },
                       shortest + Milliseconds(1000)));
}

TEST_P(SizesTest, LeavingIsNoFailure) {
  Simulation cluster(Of(GetParam()));
  cluster.Run(kSettle);
  cluster.Leave(1);
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.AllSay(1, State::kLeft); },
                               Milliseconds(1000)));
  cluster.Run(seconds(20));
  EXPECT_TRUE(cluster.AllSay(1, State::kLeft));
  EXPECT_EQ(HarmFrom(cluster, 0).suspicions, 0U);
}

TEST_P(SizesTest, APartitionOfAnyLengthHeals) {
  const int n = GetParam();
  Simulation cluster(Of(n));
  cluster.Run(kSettle);
  for (int i = 0; i < n / 2; ++i)
    for (int j = n / 2; j < n; ++j) cluster.CutBoth(i, j);
  ASSERT_TRUE(cluster.RunUntil(
      [&] {
        for (int i = 0; i < n; ++i)
          for (int j = 0; j < n; ++j)
            if ((i < n / 2) != (j < n / 2) &&
                cluster.StateAt(i, j) != State::kFailed)
              return false;
        return true;
      },
      4 * WorstDetection({}, n)));
  // Two clusters, each whole.
  for (int i = 0; i < n / 2; ++i)
    for (int j = 0; j < n / 2; ++j)
      EXPECT_TRUE(i == j || cluster.StateAt(i, j) == State::kAlive);
  cluster.Run(seconds(n > 20 ? 10 : 600));
  cluster.Heal();
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.AllAlive(); }, seconds(5)));
  cluster.Run(seconds(20));
  EXPECT_TRUE(cluster.AllAlive());
}

// Three of ten messages are lost, pings, acks and heartbeats alike.
Harm HarmOfLoss(bool lifeguard) {
  Simulation cluster({.nodes = 12,
                      .settings = {.lifeguard = lifeguard},
                      .heartbeat = Milliseconds(1000),
                      .loss = 0.3});
  cluster.Run(seconds(300));
  return HarmFrom(cluster, 0);
}

TEST(SimulationTest, LossOfThirtyPercentFailsNobody) {
  const Harm with = HarmOfLoss(true);
  EXPECT_EQ(with.failures, 0U);
  // Plain SWIM doubts more than twice as often: the loss is felt.
  EXPECT_GT(HarmOfLoss(false).suspicions, 2 * with.suspicions);
}

// Lifeguard's own experiment (section V): the messages of some nodes wait for
// seconds, again and again, while their timers run. Whom do they fail?
Harm HarmOfSlowNodes(bool lifeguard) {
  constexpr int kSlow = 4;
  Simulation cluster({.nodes = 16,
                      .settings = {.lifeguard = lifeguard},
                      .heartbeat = Milliseconds(1000)});
  cluster.Run(kSettle);
  std::vector<Milliseconds> next(kSlow, cluster.now());
  cluster.Run(seconds(300), [&] {
    for (int i = 0; i < kSlow; ++i) {
      auto& at = next[static_cast<std::size_t>(i)];
      if (cluster.now() < at) continue;
      const auto span = Milliseconds(2000 + cluster.random()() % 6000);
      cluster.Block(i, span);
      at = cluster.now() + span + Milliseconds(50 + cluster.random()() % 1000);
    }
  });
  return HarmFrom(cluster, kSlow);
}

TEST(SimulationTest, SlowNodesFailNobodyElseUnderLifeguard) {
  EXPECT_EQ(HarmOfSlowNodes(true).failures, 0U);
}

TEST(SimulationTest, SlowNodesFailOthersWithoutIt) {
  EXPECT_GT(HarmOfSlowNodes(false).failures, 100U);
}

TEST(SimulationTest, AProcessThatWakesAfterAMinuteAccusesNobodyAndIsLetIn) {
  Simulation cluster({.nodes = 8});
  cluster.Run(kSettle);
  cluster.Freeze(3, seconds(60));
  ASSERT_TRUE(cluster.RunUntil(
      [&] { return cluster.AllSay(3, State::kFailed); }, seconds(60)));
  cluster.Run(seconds(60) + kSettle - cluster.now());
  cluster.ForgetVerdicts();
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.AllAlive(); }, seconds(5)));
  cluster.Run(seconds(30));
  EXPECT_TRUE(cluster.AllAlive());
  EXPECT_EQ(HarmFrom(cluster, 0).suspicions, 0U);
  EXPECT_EQ(HarmFrom(cluster, 0).failures, 0U);
}

TEST(SimulationTest, ALinkThatFailsOneWayFailsNobody) {
  Simulation cluster({.nodes = 8});
  cluster.Run(kSettle);
  cluster.Cut(0, 1);
  cluster.Run(seconds(300));
  EXPECT_TRUE(cluster.AllAlive());
  EXPECT_EQ(HarmFrom(cluster, 0).failures, 0U);
}

TEST(SimulationTest, AFlappingLinkFailsNobody) {
  Simulation cluster({.nodes = 8});
  cluster.Run(kSettle);
  for (int i = 0; i < 100; ++i) {
    for (int j = 1; j < 4; ++j) cluster.CutBoth(0, j);
    cluster.Run(Milliseconds(cluster.random()() % 4000));
    cluster.Heal();
    cluster.Run(Milliseconds(cluster.random()() % 4000));
  }
  EXPECT_EQ(HarmFrom(cluster, 0).failures, 0U);
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.AllAlive(); }, seconds(5)));
}

TEST(SimulationTest, AMemberFlapsAndTheVerdictFollows) {
  Simulation cluster({.nodes = 5});
  cluster.Run(kSettle);
  std::uint64_t life = MakeLife(2000, 0);
  for (int round = 0; round < 20; ++round) {
    cluster.Kill(2);
    ASSERT_TRUE(cluster.RunUntil(
        [&] { return cluster.AllSay(2, State::kFailed); }, seconds(30)));
    cluster.Start(2, ++life, "elsewhere:" + std::to_string(round + 1));
    ASSERT_TRUE(
        cluster.RunUntil([&] { return cluster.AllAlive(); }, seconds(5)));
    EXPECT_EQ(cluster[0].Find("n02")->record.life, life);
    EXPECT_EQ(cluster[0].Find("n02")->record.address,
              "elsewhere:" + std::to_string(round + 1));
  }
}

TEST(SimulationTest, ARestartBeforeAnybodyNoticedIsANewLife) {
  Simulation cluster({.nodes = 5});
  cluster.Run(kSettle);
  cluster.Kill(2);
  cluster.Start(2, MakeLife(2000, 7));
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.AllAlive(); }, seconds(5)));
  EXPECT_EQ(cluster[0].Find("n02")->record.life, MakeLife(2000, 7));
  cluster.Run(seconds(60));
  EXPECT_TRUE(cluster.AllAlive());
}

TEST(SimulationTest, AClockSetBackLocksNobodyOut) {
  Simulation cluster({.nodes = 5});
  cluster.Run(kSettle);
  cluster.Kill(2);
  ASSERT_TRUE(cluster.RunUntil(
      [&] { return cluster.AllSay(2, State::kFailed); }, seconds(30)));
  cluster.Start(2, MakeLife(1, 0), "elsewhere:1");
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.AllAlive(); }, seconds(5)));
  EXPECT_EQ(cluster[0].Find("n02")->record.address, "elsewhere:1");
}

TEST(SimulationTest, ForceLeaveHoldsEverywhereUntilTheNodeDeniesIt) {
  Simulation cluster({.nodes = 8});
  cluster.Run(kSettle);
  cluster.Freeze(3, seconds(120));
  ASSERT_TRUE(cluster.RunUntil(
      [&] { return cluster.AllSay(3, State::kFailed); }, seconds(60)));
  ASSERT_TRUE(cluster[5].ForceLeave(
      "n03", Clock::time_point() + std::chrono::hours(1) + cluster.now()));
  EXPECT_TRUE(cluster.RunUntil([&] { return cluster.AllSay(3, State::kLeft); },
                               seconds(2)));
  cluster.Run(seconds(20));
  EXPECT_TRUE(cluster.AllSay(3, State::kLeft));
  EXPECT_TRUE(
      cluster.RunUntil([&] { return cluster.AllAlive(); }, seconds(120)));
}

}  // namespace
}  // namespace hearsay::transport::swim
