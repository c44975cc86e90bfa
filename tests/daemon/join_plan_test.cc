#include "daemon/join_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace hearsay::daemon {
namespace {

using Peer = JoinSituation::Peer;

constexpr Peer kTraining{.ahead = true, .joining = false};
constexpr Peer kResuming{.ahead = true, .joining = true};
// Began after we met: it started together with us.
constexpr Peer kFellow{.ahead = false, .joining = false};
constexpr Peer kWaiting{.ahead = false, .joining = true};

JoinSituation Fresh() { return {.configured = 2, .expect = 3}; }

JoinSituation Resumed() {
  auto situation = Fresh();
  situation.resumed = true;
  return situation;
}

TEST(JoinPlanTest, AFreshNodeThatMeetsOneWhoHasTrainedFetches) {
  auto s = Fresh();
  s.peers = {kWaiting, kTraining};
  EXPECT_EQ(PlanJoin(s), JoinPlan::kFetch);
}

TEST(JoinPlanTest, ASingleMemberThatIsAheadIsEnough) {
  auto s = Fresh();
  s.peers = {kTraining};
  s.silent = 1;
  EXPECT_EQ(PlanJoin(s), JoinPlan::kFetch) << "nobody else is waited for";
}

TEST(JoinPlanTest, FreshTogetherAllBeginWhenAllAreThere) {
  auto s = Fresh();
  EXPECT_EQ(PlanJoin(s), JoinPlan::kWait);
  s.peers = {kWaiting};
  EXPECT_EQ(PlanJoin(s), JoinPlan::kWait);
  s.listened = true;
  EXPECT_EQ(PlanJoin(s), JoinPlan::kWait)
      << "a fresh run waits for its members";
  s.peers = {kWaiting, kFellow};
  EXPECT_EQ(PlanJoin(s), JoinPlan::kBegin) << "a fellow is not ahead";
}

TEST(JoinPlanTest, WhoHasNotSpokenYetMayBeAhead) {
  auto s = Fresh();
  s.peers = {kWaiting};
  s.silent = 1;
  EXPECT_EQ(PlanJoin(s), JoinPlan::kWait);
}

TEST(JoinPlanTest, AfterExpectTimeoutAFreshNodeBeginsWithWhoIsThere) {
  auto s = Fresh();
  s.expect_over = true;
  EXPECT_EQ(PlanJoin(s), JoinPlan::kBegin);
}

TEST(JoinPlanTest, AResumedNodeFetchesFromWhoIsAhead) {
  auto s = Resumed();
  s.peers = {kTraining};
  EXPECT_EQ(PlanJoin(s), JoinPlan::kFetch);
}

TEST(JoinPlanTest, WhenAllResumeTogetherNobodyWaitsForEver) {
  auto s = Resumed();
  s.peers = {kResuming};
  EXPECT_EQ(PlanJoin(s), JoinPlan::kWait);
  s.peers = {kResuming, kResuming};
  EXPECT_EQ(PlanJoin(s), JoinPlan::kBegin) << "all are there";
  s.peers = {kResuming};
  s.listened = true;
  EXPECT_EQ(PlanJoin(s), JoinPlan::kBegin) << "the third is not";
}

TEST(JoinPlanTest, AResumedNodeDoesNotWaitForExpect) {
  auto s = Resumed();
  EXPECT_EQ(PlanJoin(s), JoinPlan::kWait);
  s.listened = true;
  EXPECT_EQ(PlanJoin(s), JoinPlan::kBegin);
}

TEST(JoinPlanTest, ANodeWithoutPeersBeginsAtOnce) {
  EXPECT_EQ(PlanJoin({}), JoinPlan::kBegin);
  EXPECT_EQ(PlanJoin({.resumed = true}), JoinPlan::kBegin);
}

TEST(JoinPlanTest, AFreshNodeAmongResumedOnesWaitsForThemToBegin) {
  auto s = Fresh();
  s.peers = {kResuming, kResuming};
  EXPECT_EQ(PlanJoin(s), JoinPlan::kWait);
  s.listened = true;
  EXPECT_EQ(PlanJoin(s), JoinPlan::kBegin) << "but not for ever";
}

TEST(JoinPlanTest, ANodeThatDoesNotMixNeverFetches) {
  auto s = Resumed();
  s.mixes = false;
  s.peers = {kTraining, kTraining};
  EXPECT_EQ(PlanJoin(s), JoinPlan::kBegin);
  s.resumed = false;
  EXPECT_EQ(PlanJoin(s), JoinPlan::kBegin);
  s.peers.pop_back();
  EXPECT_EQ(PlanJoin(s), JoinPlan::kWait) << "cluster.expect holds for all";
}

TEST(InsaneNormTest, AllowsWhatMembersHaveAndNoMore) {
  EXPECT_FALSE(InsaneNorm(5, 1, {4, 6}));
  EXPECT_FALSE(InsaneNorm(0, 1, {4, 6}));
  EXPECT_TRUE(InsaneNorm(41, 1, {4, 6})) << "ten times the median";
  EXPECT_TRUE(InsaneNorm(std::numeric_limits<double>::infinity(), 1, {4}));
  EXPECT_TRUE(InsaneNorm(std::nan(""), 1, {4}));
}

TEST(InsaneNormTest, OneBoastfulMemberOfThreeDoesNotMoveIt) {
  EXPECT_TRUE(InsaneNorm(1e6, 1, {4, 1e6}));
}

TEST(InsaneNormTest, BesideOneMemberTrainedWeightsMayBeMuchLarger) {
  EXPECT_FALSE(InsaneNorm(50, 1, {49}));
}

}  // namespace
}  // namespace hearsay::daemon
