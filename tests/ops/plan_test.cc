// The plan's numbers against the tables of mixing.md 1, 5 and 7.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "dp/ledger.h"
#include "dp/sampler.h"
#include "ops/plan/mixing_plan.h"
#include "tests/ops/node_file.h"
#include "tests/ops/program.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::ops {
namespace {

using hearsay::tests::Hearsay;
using mixing::TopologyKind;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(MixingPlanTest, TheRingsTable) {
  struct {
    std::size_t nodes;
    double rate;
    std::uint64_t rounds;
  } const rows[] = {{2, 0, 1},          {3, .5, 10},
                    {4, .7071, 20},     {8, .9239, 88},
                    {16, .98079, 357},  {32, .99518, 1431},
                    {64, .99880, 5732}, {1024, 1 - 4.7e-6, 1467714}};
  for (const auto& row : rows) {
    const auto mixing = MixingOf(TopologyKind::kRing, row.nodes);
    EXPECT_NEAR(mixing.rate, row.rate, 1e-4) << row.nodes;
    // The table rounds; whole rounds are needed.
    EXPECT_NEAR(static_cast<double>(*mixing.to_1e3),
                static_cast<double>(row.rounds),
                std::max(1.0, 1e-3 * static_cast<double>(row.rounds)))
        << row.nodes;
  }
}

TEST(MixingPlanTest, OtherTopologies) {
  EXPECT_EQ(MixingOf(TopologyKind::kExponential, 64).to_1e3, 6U);
  EXPECT_EQ(MixingOf(TopologyKind::kExponential, 64).rate, 0);
  EXPECT_LT(*MixingOf(TopologyKind::kExponential, 60).to_1e3, 40U);
  const auto torus = MixingOf(TopologyKind::kTorus, 64);
  // Both directions by cos(pi/8), one after the other.
  EXPECT_NEAR(torus.rate, std::sqrt(.9239), 0.02);
  EXPECT_EQ(MixingOf(TopologyKind::kRing, 1).to_1e3, 0U);
}

TEST(MixingPlanTest, TheVariancesOfARing) {
  for (const auto& [nodes, variance] :
       {std::pair{4, 1.25}, {8, 2.625}, {16, 5.3125}, {64, 21.328}})
    EXPECT_NEAR(
        ConsensusVariance(TopologyKind::kRing, static_cast<std::size_t>(nodes)),
        variance, 1e-3 * variance)
        << nodes;
}

TEST(MixingPlanTest, TheVariancesWithAFullAverage) {
  struct {
    std::size_t nodes;
    std::uint64_t every;
    double variance;
  } const rows[] = {{8, 4, 1.33},   {8, 8, 1.66},  {8, 16, 2.02},
                    {8, 64, 2.46},  {64, 4, 1.60}, {64, 8, 2.16},
                    {64, 16, 2.95}, {64, 64, 5.55}};
  for (const auto& row : rows)
    EXPECT_NEAR(ConsensusVariance(TopologyKind::kRing, row.nodes, row.every) /
                    row.variance,
                1, 0.01)
        << row.nodes << " " << row.every;
}

// The closed form of the ring is an oracle for what is measured on matrices:
// written down, a ring is a topology like any other.
TEST(MixingPlanTest, WhatIsMeasuredIsWhatIsDerived) {
  // A torus of 7 is a ring of 7.
  for (const std::uint64_t every : {0, 8})
    EXPECT_NEAR(ConsensusVariance(TopologyKind::kTorus, 7, every),
                ConsensusVariance(TopologyKind::kRing, 7, every), 1e-6);
}

TEST(MixingPlanTest, WeightsFollowRatesUnlessNodesCount) {
  EXPECT_THAT(EffectiveWeights({1, 1, 1, 1}, false), ElementsAre(1, 1, 1, 1));
  const auto uneven = EffectiveWeights({8, 8, 8, 1}, false);
  EXPECT_NEAR(uneven[0], 1.28, 1e-9);
  EXPECT_NEAR(uneven[3], 0.16, 1e-9);
  EXPECT_THAT(EffectiveWeights({8, 1}, true), ElementsAre(1, 1));
}

TEST(MixingPlanTest, WireTimesAreTheFormulas) {
  const auto wire = WireTimesOf(8, 1000, {.latency = 1, .bandwidth = 500});
  EXPECT_DOUBLE_EQ(wire.exchange, 4);
  EXPECT_DOUBLE_EQ(wire.ring, 14 + 3.5);
  EXPECT_DOUBLE_EQ(wire.halving_doubling, 6 + 3.5);
  EXPECT_DOUBLE_EQ(wire.server, 2 * (1 + 16));
}

TEST(MixingPlanTest, AdviceSaysWhatToDo) {
  EXPECT_THAT(Advice(TopologyKind::kRing, 4, 0, {1, 1, 1, 1}),
              ElementsAre(HasSubstr("nothing to add")));
  const auto many = Advice(TopologyKind::kRing, 64, 0, {1, 1});
  EXPECT_THAT(many[0], HasSubstr("drift apart"));
  EXPECT_THAT(many[0], HasSubstr("exponential"));
  EXPECT_THAT(many[0], HasSubstr("every_steps = 4"));
  EXPECT_THAT(many[1], HasSubstr("halving-doubling"));
  EXPECT_THAT(Advice(TopologyKind::kRing, 64, 4, {})[0],
              HasSubstr("nothing to add"));
  EXPECT_THAT(Advice(TopologyKind::kRing, 4, 0, {1, 1, 1, 0.1})[1],
              HasSubstr("differ 10.0 times"));
}

class PlanVerbTest : public testing::Test {
 protected:
  std::string Config(const std::string& more = "") {
    hearsay::tests::NodeFile{.cluster = hearsay::tests::kThreePeers,
                             .privacy = "target_epsilon = 1.0\n",
                             .more = more}
        .Write(folder_ / "node.toml");
    return folder_ / "node.toml";
  }
  hearsay::tests::TemporaryFolder folder_;
};

TEST_F(PlanVerbTest, SaysWhatItWillCost) {
  const auto run = Hearsay({"plan", "--config", Config(), "--inputs", "9",
                            "--nodes", "16", "-o", "json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const auto plan = nlohmann::json::parse(run.out);
  EXPECT_EQ(plan["schema"], 1);
  EXPECT_EQ(plan["parameters"], 20);
  EXPECT_EQ(plan["wire"]["message_bytes"], 80);
  EXPECT_LE(plan["privacy"]["epsilon"], 1.0);
  EXPECT_GT(plan["privacy"]["epsilon"], 0.99);
  EXPECT_EQ(plan["mixing"]["rounds_to_1e3"], 357);
  EXPECT_THAT(Hearsay({"plan", "--config", Config(), "--inputs", "9"}).out,
              HasSubstr("4 nodes, rule pairwise, topology ring"));
}

TEST_F(PlanVerbTest, ALedgerThatIsThereIsCounted) {
  const std::vector<std::string> plan = {
      "plan", "--config", Config(), "--inputs", "9", "-o", "json"};
  const auto fresh = nlohmann::json::parse(Hearsay(plan).out)["privacy"];
  EXPECT_TRUE(fresh["after_ledger"].is_null());
  const double noise = fresh["noise_multiplier"];
  {
    // As the sampler has it, and a daemon would write it.
    const double rate = dp::PoissonSampler(0.02).sample_rate();
    dp::Ledger ledger(folder_ / "ledger", "data", "a@1");
    for (int i = 0; i < 2; ++i) ledger.Reserve({rate, noise, 100});
  }
  const auto after =
      nlohmann::json::parse(Hearsay(plan).out)["privacy"]["after_ledger"];
  EXPECT_EQ(after["steps_charged"], 200);
  // Calibrated for 600 steps in all.
  EXPECT_GE(after["steps_that_fit"], 400);
  EXPECT_LE(after["steps_that_fit"], 402);
  EXPECT_LE(after["epsilon_after"], 1.0);
  EXPECT_EQ(after["accountant"], "rdp");
  std::ofstream(folder_ / "ledger" / "ledger") << "nonsense";
  const auto broken = Hearsay(plan);
  EXPECT_EQ(broken.code, 1);
  EXPECT_THAT(broken.err, HasSubstr("ledger"));
}

TEST_F(PlanVerbTest, WhatIsWrongIsSaid) {
  const auto rates = Hearsay(
      {"plan", "--config", Config(), "--inputs", "9", "--rates", "1,x"});
  EXPECT_EQ(rates.code, 2);
  EXPECT_THAT(rates.err, HasSubstr("\"x\" is no rate"));
  const auto shard = Hearsay({"plan", "--config", Config()});
  EXPECT_EQ(shard.code, 1);
  EXPECT_THAT(shard.err, HasSubstr("--inputs"));
  const auto config =
      Hearsay({"plan", "--config", Config("[mixing]\nrul = 1\n")});
  EXPECT_EQ(config.code, 2);
  EXPECT_THAT(config.err, HasSubstr("mixing.rul"));
}

}  // namespace
}  // namespace hearsay::ops
