// How the simulated world goes about it: the same again by its seed, meetings,
// networks, and what goes wrong.
#include "ops/sim/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "ops/sim/calendar.h"

namespace hearsay::sim {
namespace {

using mixing::RuleKind;
using testing::HasSubstr;

Settings Small(RuleKind rule = RuleKind::kPairwise) {
  Settings settings;
  settings.nodes = 4;
  settings.steps = 200;
  settings.mixing.rule = rule;
  settings.compute.step_time = 1;
  settings.network.latency = 0.1;
  settings.network.detect = 3;
  settings.task.kind = Settings::Task::Kind::kOwn;
  settings.task.dimension = 4;
  settings.task.learning_rate = 0.05;
  return settings;
}

TEST(CalendarTest, GivesInOrderWhateverWasPutIn) {
  std::mt19937_64 random(3);
  std::exponential_distribution<double> often(1), seldom(1e-3);
  Calendar calendar(1000, 1000);
  double now = 0;
  std::uint64_t order = 0;
  for (int i = 0; i < 1000; ++i) calendar.Put(often(random), 0, 0);
  for (int i = 0; i < 100000; ++i) {
    const auto event = calendar.Take();
    ASSERT_TRUE(event.at > now || (event.at == now && event.order > order) ||
                i == 0);
    now = event.at;
    order = event.order;
    // Now and then at the very same moment, or far away.
    const double wait = i % 7 == 0    ? 0
                        : i % 11 == 0 ? seldom(random)
                                      : often(random);
    calendar.Put(now + wait, 0, 0);
  }
  EXPECT_EQ(calendar.size(), 1000U);
}

TEST(WorldTest, TheSameSettingsAreTheSameResult) {
  auto settings = Small();
  settings.network.loss = 0.1;
  settings.network.jitter = 0.5;
  settings.compute.spread = Settings::Compute::Spread::kLogNormal;
  const auto one = World(settings).Run();
  const auto other = World(settings).Run();
  ASSERT_EQ(one.samples.size(), other.samples.size());
  EXPECT_EQ(one.samples.back().mean, other.samples.back().mean);
  EXPECT_EQ(one.events, other.events);
  settings.seed = 2;
  EXPECT_NE(World(settings).Run().samples.back().mean, one.samples.back().mean);
}

class EveryRuleTest : public testing::TestWithParam<RuleKind> {};

TEST_P(EveryRuleTest, EvenNodesEndAtTheOptimum) {
  auto settings = Small(GetParam());
  settings.resync.every_steps = GetParam() == RuleKind::kLocalSgd ? 5 : 0;
  settings.steps = 0;
  settings.until = 2000;
  const auto result = World(settings).Run();
  for (const auto& node : result.nodes) EXPECT_EQ(node.failure, "");
  for (const double weight : MeanOfMeans(result, 500))
    EXPECT_NEAR(weight * 4, 1, 0.15);
  if (GetParam() != RuleKind::kNone) {
    EXPECT_LT(result.samples.back().consensus, 0.5);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rules, EveryRuleTest,
    testing::Values(RuleKind::kPairwise, RuleKind::kOneWay, RuleKind::kPushSum,
                    RuleKind::kNone, RuleKind::kNaiveNewest,
                    RuleKind::kSymmetricBlocking, RuleKind::kAllReduce,
                    RuleKind::kLocalSgd, RuleKind::kParameterServer),
    [](const auto& rule) { return mixing::Word(rule.param); });

TEST(WorldTest, AStragglerSlowsWhoWaitsForItAndNobodyElse) {
  const auto steps = [](RuleKind rule) {
    auto settings = Small(rule);
    settings.steps = 0;
    settings.until = 1000;
    settings.compute.slower = {1, 1, 1, 10};
    return World(settings).Run().nodes[0].steps;
  };
  EXPECT_NEAR(static_cast<double>(steps(RuleKind::kPairwise)), 1000, 20);
  // Each step takes the slowest one's 10, and a sum.
  EXPECT_NEAR(static_cast<double>(steps(RuleKind::kAllReduce)), 100, 8);
}

TEST(WorldTest, ASumTakesTheTimeOfItsFormula) {
  auto settings = Small(RuleKind::kAllReduce);
  settings.nodes = 8;
  settings.compute.spread = Settings::Compute::Spread::kConstant;
  settings.network.latency = 0.1;
  settings.network.bandwidth = 1000;
  settings.network.message_bytes = 400;
  settings.steps = 10;
  // 2 (n-1) latencies, and 2 (n-1) / n of the array.
  EXPECT_NEAR(World(settings).Run().virtual_seconds,
              10 * (1 + 14 * 0.1 + 1.75 * 0.4), 1e-9);
  settings.resync.halving_doubling = true;
  EXPECT_NEAR(World(settings).Run().virtual_seconds,
              10 * (1 + 6 * 0.1 + 1.75 * 0.4), 1e-9);
}

TEST(WorldTest, AServersLinkCarriesEverybodysArrays) {
  auto settings = Small(RuleKind::kParameterServer);
  settings.nodes = 9;
  settings.steps = 0;
  settings.until = 500;
  settings.network.bandwidth = 1000;
  settings.network.message_bytes = 250;
  const auto result = World(settings).Run();
  // Eight workers share a link that takes 4 arrays a second each way.
  EXPECT_NEAR(static_cast<double>(result.nodes[5].steps), 500 / 2.0, 30);
}

TEST(WorldTest, ADeathIsSurvivedByGossipAndEndsWhatNeedsAll) {
  for (const auto rule :
       {RuleKind::kPairwise, RuleKind::kOneWay, RuleKind::kPushSum,
        RuleKind::kNaiveNewest, RuleKind::kSymmetricBlocking}) {
    auto settings = Small(rule);
    settings.incidents = {{.at = 50, .first = 2, .last = 2}};
    const auto result = World(settings).Run();
    EXPECT_FALSE(result.nodes[2].alive);
    EXPECT_EQ(result.nodes[0].steps, 200U) << mixing::Word(rule);
    EXPECT_EQ(result.nodes[0].failure, "") << mixing::Word(rule);
  }
  for (const auto rule : {RuleKind::kAllReduce, RuleKind::kLocalSgd}) {
    auto settings = Small(rule);
    settings.resync.every_steps = 5;
    settings.incidents = {{.at = 50, .first = 2, .last = 2}};
    const auto result = World(settings).Run();
    EXPECT_LT(result.nodes[0].steps, 60U) << mixing::Word(rule);
    EXPECT_THAT(result.nodes[0].failure, HasSubstr("node 2 is gone"));
  }
}

TEST(WorldTest, ADeadServerEndsTheRun) {
  auto settings = Small(RuleKind::kParameterServer);
  settings.incidents = {{.at = 50, .first = 0, .last = 0}};
  const auto result = World(settings).Run();
  for (std::size_t i = 1; i < 4; ++i)
    EXPECT_THAT(result.nodes[i].failure, HasSubstr("does not answer"));
}

TEST(WorldTest, AFrozenNodeGoesOnWhereItWas) {
  auto settings = Small();
  settings.steps = 0;
  settings.until = 300;
  settings.incidents = {{.at = 50,
                         .what = Settings::Incident::What::kFreeze,
                         .first = 1,
                         .last = 1,
                         .lasts = 100}};
  const auto result = World(settings).Run();
  EXPECT_NEAR(static_cast<double>(result.nodes[1].steps), 200, 10);
  EXPECT_NEAR(static_cast<double>(result.nodes[0].steps), 300, 10);
}

TEST(WorldTest, PartsThatMeetAgainAgree) {
  auto settings = Small();
  settings.steps = 0;
  settings.until = 600;
  settings.incidents = {{.at = 100,
                         .what = Settings::Incident::What::kPart,
                         .first = 0,
                         .last = 1,
                         .lasts = 200}};
  const auto result = World(settings).Run();
  EXPECT_GT(result.failed, 100U);
  double parted = 0, after = 0;
  for (const auto& sample : result.samples) {
    if (sample.time > 250 && sample.time < 300) parted = sample.consensus;
    if (sample.time > 500) after = sample.consensus;
  }
  EXPECT_GT(parted, 3 * after);
}

TEST(WorldTest, PushSumKeepsItsSumUnderLoss) {
  auto settings = Small(RuleKind::kPushSum);
  settings.network.loss = 0.05;
  settings.task.kind = Settings::Task::Kind::kZero;
  settings.task.dimension = 1;
  settings.task.learning_rate = 0;
  settings.steps = 2000;
  // All start at 1; nothing but a lost mass could move them.
  EXPECT_NEAR(World(settings).Run().samples.back().mean[0], 1, 1e-6);
}

TEST(WorldTest, AnAverageEveryFewStepsHoldsTheNodesTogether) {
  for (const auto mode :
       {Settings::Resync::Mode::kOverlapped, Settings::Resync::Mode::kBlocking,
        Settings::Resync::Mode::kAdaptive}) {
    auto settings = Small(RuleKind::kNone);
    settings.resync = {.every_steps = 10, .mode = mode, .above = 0.01};
    settings.task.learning_rate = 0.02;
    settings.steps = 400;
    const auto result = World(settings).Run();
    EXPECT_GE(result.resyncs, 38U);
    for (const double weight : result.samples.back().mean)
      EXPECT_NEAR(weight * 4, 1, 0.1);
  }
}

TEST(WorldTest, AnAverageThatLosesAMemberChangesNothing) {
  auto settings = Small(RuleKind::kNone);
  settings.resync.every_steps = 10;
  settings.network.latency = 1;  // An average is on its way for 7.
  settings.incidents = {{.at = 12, .first = 3, .last = 3}};
  settings.steps = 18;
  EXPECT_EQ(World(settings).Run().resyncs, 0U);
}

TEST(WorldTest, TopologiesMixFasterThanTheRing) {
  const auto variance = [](mixing::TopologyKind topology) {
    auto settings = Small();
    settings.nodes = 64;
    settings.task = {.kind = Settings::Task::Kind::kZero,
                     .dimension = 1,
                     .learning_rate = 0.001,
                     .noise = 1};
    settings.mixing.topology = topology;
    settings.steps = 0;
    settings.until = 3000;
    return MeanVariance(World(settings).Run(), 500);
  };
  const double ring = variance(mixing::TopologyKind::kRing);
  EXPECT_GT(ring, 3 * variance(mixing::TopologyKind::kExponential));
  EXPECT_GT(ring, 2 * variance(mixing::TopologyKind::kTorus));
  EXPECT_GT(ring, 3 * variance(mixing::TopologyKind::kComplete));
}

TEST(WorldTest, ARealModelLearnsUnderNoise) {
  auto settings = Small();
  settings.task = {.kind = Settings::Task::Kind::kClassify,
                   .learning_rate = 0.5,
                   .rows = 500,
                   .sample_rate = 0.1,
                   .noise_multiplier = 1};
  settings.steps = 150;
  const auto result = World(settings).Run();
  EXPECT_GT(result.samples.back().accuracy,
            result.samples.front().accuracy + 0.1);
  EXPECT_GT(result.samples.back().accuracy, 0.75);
}

TEST(WorldTest, SettingsThatCannotBeAreRefused) {
  auto settings = Small();
  settings.nodes = 0;
  EXPECT_THROW(World{settings}, std::invalid_argument);
  settings = Small();
  settings.compute.step_time = 0;
  EXPECT_THROW(World{settings}, std::invalid_argument);
  settings = Small(RuleKind::kPushSum);
  EXPECT_THROW(RunRounds(settings), std::invalid_argument);
}

}  // namespace
}  // namespace hearsay::sim
