// Full averages among members whose groups are made of memory: what a round
// does to weights that go on being trained, and when there is one.
#include "daemon/resync.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <string>

#include "tests/daemon/resync_scene.h"

namespace hearsay::daemon {
namespace {

using testing::Each;
using testing::ElementsAre;

TEST_F(ResyncTest, ARoundAddsMeanMinusSnapshotAndKeepsAStepTakenMeanwhile) {
  Make();
  room.hold = true;
  std::optional<std::string> outcome;
  a().resync.Propose(Into(outcome));
  ASSERT_TRUE(Until([&] { return room.held() == 1; }));
  a().Train(0.5F);
  room.Release();
  ASSERT_TRUE(AllEnded(1));
  EXPECT_THAT(a().values(), Each(4.5F));
  EXPECT_THAT(b().values(), Each(4.0F));
  EXPECT_EQ(outcome, "");
  for (Side* side : {&a(), &b()}) {
    EXPECT_EQ(side->resync.succeeded(), 1U);
    EXPECT_EQ(side->resync.last()->members, 2U);
    EXPECT_EQ(side->resync.last()->error, "");
    EXPECT_THAT(side->told, ElementsAre());
  }
}

TEST_F(ResyncTest, WithMomentumTheTwinBeginsAnewAtTheMean) {
  momentum = mixing::Momentum::kAcid;
  Make();
  const auto start = [](Side& side, float x, float twin) {
    side.weights.AssignBoth(std::vector<float>(kSize, x),
                            std::vector<float>(kSize, twin));
  };
  const auto both = [](Side& side) {
    std::vector<float> x(kSize), twin(kSize);
    side.weights.SnapshotBoth(x, twin);
    EXPECT_EQ(x, std::vector<float>(kSize, x[0]));
    return std::pair(x[0], twin[0]);
  };
  start(a(), 0, 2);
  start(b(), 8, 6);
  room.fail = "b is lost";
  RoundOf(a());
  EXPECT_EQ(both(a()), std::pair(0.0F, 2.0F)) << "one that fails";
  EXPECT_EQ(both(b()), std::pair(8.0F, 6.0F));
  room.fail = "";
  room.hold = true;
  a().resync.Propose([](const auto&) {});
  ASSERT_TRUE(Until([&] { return room.held() == 1; }));
  a().Train(0.5F);
  room.Release();
  ASSERT_TRUE(AllEnded(2));
  EXPECT_EQ(both(a()), std::pair(4.5F, 4.5F));
  EXPECT_EQ(both(b()), std::pair(4.0F, 4.0F));
}

TEST_F(ResyncTest, ARoundThatFailsChangesNothingAndIsCounted) {
  Make();
  room.fail = "b is lost";
  std::optional<std::string> outcome;
  a().resync.Propose(Into(outcome));
  ASSERT_TRUE(AllEnded(1));
  EXPECT_EQ(outcome, "b is lost");
  EXPECT_THAT(a().values(), Each(0.0F));
  EXPECT_THAT(b().values(), Each(8.0F));
  for (Side* side : {&a(), &b()}) {
    EXPECT_EQ(side->resync.failed(), 1U);
    EXPECT_EQ(side->resync.succeeded(), 0U);
    EXPECT_THAT(side->told, ElementsAre("resync/a/1 of a, b failed and changed "
                                        "nothing: b is lost"));
  }
  // The next one is as good as any.
  room.fail = "";
  RoundOf(a());
  EXPECT_THAT(a().values(), Each(4.0F));
}

TEST_F(ResyncTest, TheNextRoundWaitsForAMemberThatIsStillInTheLast) {
  Make();
  room.late = "b";
  std::optional<std::string> first, second;
  a().resync.Propose(Into(first));
  ASSERT_TRUE(Until([&] { return first.has_value(); }));
  a().Train(2);
  a().resync.Propose(Into(second));
  Settle();
  EXPECT_FALSE(second);
  room.HearLate();
  ASSERT_TRUE(AllEnded(2));
  EXPECT_EQ(second, "");
  EXPECT_THAT(a().values(), Each(5.0F));
  EXPECT_THAT(b().values(), Each(5.0F));
}

class ResyncAtOnceTest : public ResyncTest,
                         public testing::WithParamInterface<bool> {};

TEST_P(ResyncAtOnceTest, OfTwoProposalsAllTakePartInTheFirstByName) {
  Make({"a", "b", "c"});
  std::optional<std::string> of_a, of_b;
  if (GetParam()) a().resync.Propose(Into(of_a));
  b().resync.Propose(Into(of_b));
  if (!GetParam()) a().resync.Propose(Into(of_a));
  ASSERT_TRUE(AllEnded(1));
  EXPECT_EQ(of_a, "");
  EXPECT_EQ(of_b, "") << "answered by the round that took place";
  EXPECT_THAT(a().values(), Each(3.0F));
  EXPECT_THAT((*this)[2].values(), Each(3.0F));
  EXPECT_EQ(b().resync.last()->name, "resync/a/1");
  EXPECT_EQ(b().resync.failed(), 0U);
}

INSTANTIATE_TEST_SUITE_P(FirstOfThemAsks, ResyncAtOnceTest, testing::Bool());

TEST_F(ResyncTest, AMeanThatIsNotFiniteIsNotLetIn) {
  Make();
  b().Train(std::numeric_limits<float>::infinity());
  RoundOf(a());
  EXPECT_THAT(a().values(), Each(0.0F));
  EXPECT_EQ(a().resync.last()->error, "the mean is not fit: not_finite");
  EXPECT_EQ(a().resync.failed(), 1U);
}

TEST_F(ResyncTest, AMeanBeyondTheClipIsNotLetIn) {
  // 64 weights that move by 4: a distance of 32.
  options.clip = 31;
  Make();
  RoundOf(a());
  EXPECT_THAT(a().values(), Each(0.0F));
  EXPECT_EQ(a().resync.last()->error, "the mean is not fit: beyond_clip");
}

TEST_F(ResyncTest, ProposalsOfAQuarantinedMemberAreIgnored) {
  options.limit = transport::Milliseconds(100);
  Make();
  b().quarantined = "a";
  a().resync.Propose([](const auto&) {});
  ASSERT_TRUE(Until([&] { return a().resync.failed() == 1; }));
  Settle();
  EXPECT_EQ(b().resync.failed() + b().resync.succeeded(), 0U);
  EXPECT_THAT(b().values(), Each(8.0F));
}

TEST_F(ResyncTest, WhoHasNobodyOrHasNotBegunProposesNothing) {
  Make();
  std::optional<std::string> outcome;
  a().members = {"a"};
  a().resync.Propose(Into(outcome));
  EXPECT_EQ(outcome, "there is nobody else");
  Side late(io, room, "c", {"a", "b", "c"}, 1, options);
  late.resync.Propose(Into(outcome));
  EXPECT_EQ(outcome, "this node has not joined yet");
  EXPECT_TRUE(room.proposals.empty());
}

TEST_F(ResyncTest, TheFirstMembersStepsCallForARoundEveryK) {
  options.every_steps = 10;
  Make();
  a().step = 9;
  b().step = 1000;  // Is not the first.
  Settle();
  EXPECT_TRUE(room.proposals.empty());
  a().step = 10;
  ASSERT_TRUE(AllEnded(1));
  EXPECT_THAT(b().values(), Each(4.0F));
  Settle();
  EXPECT_EQ(room.proposals.size(), 1U);
}

TEST_F(ResyncTest, AdaptiveRoundsWaitForADistance) {
  options.every_steps = 1;
  options.mode = ResyncOptions::Mode::kAdaptive;
  options.above = 0.05;
  Make();
  for (const auto distance : {std::optional<double>(), std::optional(0.04)}) {
    a().distance = distance;
    a().step += 5;
    Settle();
    EXPECT_TRUE(room.proposals.empty());
  }
  a().distance = 0.06;
  a().step += 5;
  EXPECT_TRUE(AllEnded(1));
}

// From x = 0 and u = 0, with beta = 1/2: u <- u/2 + x - m, x <- x - u.
TEST_F(ResyncTest, SlowMomentumGoesOnFromRoundToRoundAndBeginsAnewAfterAGap) {
  options.slow_momentum = 0.5;
  Make();
  const auto round = [&](Side& by) {
    a().Train(2);  // The mean goes up by 1.
    RoundOf(by);
    EXPECT_EQ(a().values(), b().values());
    return a().values()[0];
  };
  EXPECT_EQ(round(a()), 5);     // the first: the mean
  EXPECT_EQ(round(a()), 6);     // m = 6, u = -1
  EXPECT_EQ(round(a()), 7.5F);  // m = 7, u = -1.5
  room.fail = "b is lost";
  RoundOf(a());
  room.fail = "";
  EXPECT_EQ(round(a()), 8.5F);   // After a gap: the mean.
  EXPECT_EQ(round(a()), 9.5F);   // u = -1 once more
  EXPECT_EQ(round(b()), 10.5F);  // Another's: the mean.
  EXPECT_EQ(round(b()), 11.5F);  // u = -1
  EXPECT_EQ(round(b()), 13.0F);  // u = -1.5
}

}  // namespace
}  // namespace hearsay::daemon
