#include "daemon/cluster_view.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace hearsay::daemon {
namespace {

using nlohmann::json;
using transport::MemberState;

KnownNode Training(const std::string& name, double rate, float value) {
  KnownNode node;
  node.name = name;
  node.report.emplace();
  node.report->state = "training";
  node.report->steps_per_second = rate;
  node.report->privacy_valid = true;
  node.report->sketch.emplace();
  node.report->sketch->fill(value);
  return node;
}

ClusterView Three() {
  return {
      "pums",
      "pairwise",
      "a",
      {Training("a", 100, 1), Training("b", 100, 1), Training("c", 12.5, 1)}};
}

TEST(ClusterViewTest, AllAliveAndWellIsHealthy) {
  const auto summary = Summarise(Three());
  EXPECT_EQ(summary.health, "healthy");
  EXPECT_TRUE(summary.reasons.empty());
  EXPECT_EQ(summary.alive, 3);
  EXPECT_EQ(summary.total, 3);
}

// Every gradient counts once, so a node counts as its step rate does.
TEST(ClusterViewTest, EffectiveWeightsFollowTheStepRates) {
  const auto weight = Summarise(Three()).effective_weight;
  EXPECT_NEAR(weight.at("a"), 100 / (212.5 / 3), 1e-9);
  EXPECT_NEAR(weight.at("c"), 12.5 / (212.5 / 3), 1e-9);
}

TEST(ClusterViewTest, AFailedMemberDegradesAndIsNamed) {
  auto view = Three();
  view.nodes[1].member = MemberState::kFailed;
  view.nodes[1].error = "connection reset";
  const auto summary = Summarise(view);
  EXPECT_EQ(summary.health, "degraded");
  EXPECT_EQ(summary.alive, 2);
  EXPECT_EQ(summary.total, 3);
  ASSERT_EQ(summary.reasons.size(), 1U);
  EXPECT_EQ(summary.reasons[0], "b is failed: connection reset");
  const auto status = json::parse(StatusJson(view, ProfileOf("lan")));
  EXPECT_EQ(status["nodes"][1]["state"], "failed");
  EXPECT_EQ(status["nodes"][1]["error"], "connection reset");
  EXPECT_EQ(status["nodes"].size(), 3U) << "an unreachable node stays";
}

TEST(ClusterViewTest, ABrokenEdgeToALivingMemberIsAReasonButNoFailure) {
  auto view = Three();
  view.nodes[1].edge = transport::EdgeState::kBroken;
  view.nodes[1].error = "connection reset";
  view.nodes[1].said_by = "c";
  const auto summary = Summarise(view);
  EXPECT_EQ(summary.health, "degraded");
  EXPECT_EQ(summary.alive, 3);
  ASSERT_EQ(summary.reasons.size(), 1U);
  EXPECT_EQ(summary.reasons[0],
            "b is alive, but the edge to it is broken: connection reset");
  // What it said last is of then.
  EXPECT_FALSE(summary.distance.contains("b"));
  EXPECT_FALSE(summary.effective_weight.contains("b"));
  const auto member =
      json::parse(MembersJson(view, ProfileOf("wan")))["members"][1];
  EXPECT_EQ(member["state"], "alive");
  EXPECT_EQ(member["said_by"], "c");
  EXPECT_EQ(member["edge"], "broken");
  view.nodes[1].edge = transport::EdgeState::kNone;  // Only just heard of.
  EXPECT_EQ(Summarise(view).health, "healthy");
}

TEST(ClusterViewTest, TheTimingInForceIsInStatusAndMembers) {
  for (const std::string name : {"local", "lan", "wan"}) {
    const auto profile = ProfileOf(name);
    for (const auto& text :
         {StatusJson(Three(), profile), MembersJson(Three(), profile)}) {
      const auto timing = json::parse(text)["timing"];
      EXPECT_EQ(timing["profile"], name);
      EXPECT_EQ(timing["probe_interval_ms"],
                profile.timing.swim.probe_interval.count());
      EXPECT_EQ(timing["silent_after_ms"], profile.timing.silent_after.count());
    }
  }
}

// What the values must keep to for a member that falls silent to be passed over
// within two probe periods, and not for one lost heartbeat.
TEST(ProfileTest, EveryProfilesValuesFitEachOther) {
  for (const char* name : {"local", "lan", "wan"}) {
    const auto t = ProfileOf(name).timing;
    EXPECT_LE(t.silent_after, t.swim.probe_interval) << name;
    EXPECT_GE(t.silent_after, 3 * t.heartbeat) << name;
    EXPECT_GT(t.give_up, t.silent_after) << name;
    EXPECT_LT(t.swim.probe_timeout, t.swim.probe_interval) << name;
    EXPECT_LT(t.retry_min, t.retry_max) << name;
  }
}

TEST(ClusterViewTest, AMemberThatLeftIsNotMissed) {
  auto view = Three();
  view.nodes[2].member = MemberState::kLeft;
  EXPECT_EQ(Summarise(view).health, "healthy");
  EXPECT_EQ(Summarise(view).total, 2);
}

TEST(ClusterViewTest, OwnTroubleIsUnhealthyAnothersIsDegraded) {
  for (const auto& [index, health] :
       std::vector<std::pair<std::size_t, std::string>>{{0, "unhealthy"},
                                                        {1, "degraded"}}) {
    auto view = Three();
    view.nodes[index].report->health = "unhealthy";
    view.nodes[index].report->reasons = {"training stopped: disk full"};
    const auto summary = Summarise(view);
    EXPECT_EQ(summary.health, health);
    ASSERT_EQ(summary.reasons.size(), 1U);
    EXPECT_NE(summary.reasons[0].find("disk full"), std::string::npos);
  }
}

TEST(ClusterViewTest, OnlyTheLivingAreCountedInTheConsensus) {
  auto view = Three();
  view.nodes[2] = Training("c", 100, 50);
  EXPECT_GT(Summarise(view).consensus->relative_distance, 0.5);
  EXPECT_EQ(json::parse(StatusJson(
                view, ProfileOf("lan")))["cluster"]["consensus"]["state"],
            "mixing");
  view.nodes[2].member = MemberState::kFailed;
  EXPECT_NEAR(Summarise(view).consensus->relative_distance, 0, 1e-6);
  EXPECT_EQ(json::parse(StatusJson(
                view, ProfileOf("lan")))["cluster"]["consensus"]["state"],
            "agreed");
}

TEST(ClusterViewTest, TheStatusDocumentHasTheShapeOfTheInterface) {
  const auto status = json::parse(StatusJson(Three(), ProfileOf("lan")));
  EXPECT_EQ(status["schema"], 1);
  EXPECT_EQ(status["self"], "a");
  for (const char* key :
       {"name", "health", "reasons", "members_alive", "members_total",
        "topology", "rule", "consensus", "resync"})
    EXPECT_TRUE(status["cluster"].contains(key)) << key;
  for (const char* key :
       {"name", "state", "step", "steps_per_second", "effective_weight", "eval",
        "privacy", "consensus_distance", "links", "age_seconds", "error"})
    EXPECT_TRUE(status["nodes"][0].contains(key)) << key;
  for (const char* key : {"epsilon", "target_epsilon", "delta", "accountant",
                          "steps_left", "valid"})
    EXPECT_TRUE(status["nodes"][0]["privacy"].contains(key)) << key;
}

TEST(ClusterViewTest, MomentumSaysItsEta) {
  auto view = Three();
  const auto momentum = [&] {
    return json::parse(
        StatusJson(view, ProfileOf("lan")))["cluster"]["momentum"];
  };
  EXPECT_TRUE(momentum().is_null());
  view.momentum_eta = 0.25;
  EXPECT_EQ(momentum(), (json{{"kind", "acid"}, {"eta", 0.25}}));
}

TEST(ClusterViewTest, AnInfiniteEpsilonIsNullInJson) {
  auto view = Three();
  view.nodes[0].report->epsilon = std::numeric_limits<double>::infinity();
  const auto status = json::parse(StatusJson(view, ProfileOf("lan")));
  EXPECT_TRUE(status["nodes"][0]["privacy"]["epsilon"].is_null());
}

TEST(ClusterViewTest, AMemberKnownByItsAddressOnlyIsAReasonNotANode) {
  auto view = Three();
  KnownNode seed;
  seed.address = "127.0.0.1:7409";
  seed.member = MemberState::kFailed;
  view.nodes.push_back(seed);
  EXPECT_EQ(json::parse(StatusJson(view, ProfileOf("lan")))["nodes"].size(),
            3U);
  EXPECT_EQ(Summarise(view).reasons[0], "127.0.0.1:7409 is failed");
}

}  // namespace
}  // namespace hearsay::daemon
