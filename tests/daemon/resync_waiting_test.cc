// Rounds for which trainers wait: who is waited for, what ends a wait, and the
// mean of their gradients.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "daemon/resync.h"
#include "tests/daemon/resync_scene.h"

namespace hearsay::daemon {
namespace {

using testing::Each;
using testing::HasSubstr;

class BlockingResyncTest : public ResyncTest {
 protected:
  BlockingResyncTest() { options.mode = ResyncOptions::Mode::kBlocking; }

  std::optional<std::string> at_a, at_b;
};

TEST_F(BlockingResyncTest, AMemberTakesPartWhenItsTrainerHasCome) {
  Make();
  a().resync.Meet(Into(at_a));
  Settle();
  EXPECT_FALSE(at_a);
  b().Train(2);  // Before it comes, so part of the round.
  b().resync.Meet(Into(at_b));
  ASSERT_TRUE(Until([&] { return at_a && at_b; }));
  EXPECT_EQ(at_a, "");
  EXPECT_EQ(at_b, "");
  EXPECT_THAT(a().values(), Each(5.0F));
  EXPECT_THAT(b().values(), Each(5.0F));
}

TEST_F(BlockingResyncTest, WhoComesFirstWaitsForTheProposer) {
  Make();
  b().resync.Meet(Into(at_b));
  Settle();
  EXPECT_FALSE(at_b);
  a().resync.Meet(Into(at_a));
  ASSERT_TRUE(Until([&] { return at_a && at_b; }));
  EXPECT_THAT(b().values(), Each(4.0F));
}

TEST_F(BlockingResyncTest, ATrainerThatHasEndedIsNotWaitedFor) {
  Make();
  a().resync.Meet(Into(at_a));
  Settle();
  b().trains = false;
  b().resync.OnTrainingEnded();
  ASSERT_TRUE(Until([&] { return at_a.has_value(); }));
  EXPECT_EQ(at_a, "");
  EXPECT_THAT(a().values(), Each(4.0F));
  // Nor is it in a round that is proposed later.
  at_a.reset();
  a().Train(1);
  a().resync.Meet(Into(at_a));
  ASSERT_TRUE(AllEnded(2));
  EXPECT_EQ(at_a, "");
  EXPECT_THAT(b().values(), Each(4.5F));
}

TEST_F(BlockingResyncTest, WhatIsAskedForBeginsWhenTheTrainerComes) {
  Make();
  std::optional<std::string> asked, again;
  b().resync.Propose(Into(asked));
  b().resync.Propose(Into(again));
  EXPECT_EQ(again, "one is asked for already");
  Settle();
  EXPECT_TRUE(room.proposals.empty());
  b().Train(2);
  b().resync.Meet(Into(at_b));
  a().resync.Meet(Into(at_a));
  ASSERT_TRUE(Until([&] { return at_a && at_b && asked; }));
  EXPECT_EQ(at_b, "");
  EXPECT_EQ(asked, "");
  EXPECT_THAT(a().values(), Each(5.0F));
  EXPECT_THAT(b().values(), Each(5.0F));
}

TEST_F(BlockingResyncTest, WhatIsAskedForBeginsWhenTrainingHasEnded) {
  Make();
  std::optional<std::string> asked;
  b().resync.Propose(Into(asked));
  b().trains = false;
  b().resync.OnTrainingEnded();
  Settle();
  a().resync.Meet(Into(at_a));
  ASSERT_TRUE(Until([&] { return at_a && asked; }));
  EXPECT_EQ(at_a, "");
  EXPECT_EQ(asked, "");
  EXPECT_THAT(a().values(), Each(4.0F));
}

TEST_F(BlockingResyncTest, AProposerThatNeverComesIsNamed) {
  options.limit = transport::Milliseconds(50);
  Make();
  b().resync.Meet(Into(at_b));
  ASSERT_TRUE(Until([&] { return at_b.has_value(); }));
  EXPECT_THAT(*at_b, HasSubstr("no round was proposed by a"));
  EXPECT_EQ(b().resync.failed(), 1U);
}

TEST_F(BlockingResyncTest, WhoIsAloneOrLeftAloneGoesOn) {
  Make();
  b().resync.Meet(Into(at_b));
  Settle();
  EXPECT_FALSE(at_b);
  b().members = {"b"};
  b().resync.OnMembers();
  EXPECT_EQ(at_b, "");
  at_b.reset();
  b().resync.Meet(Into(at_b));
  EXPECT_EQ(at_b, "");
}

TEST_F(BlockingResyncTest, WhereAllAreNeededAMissingOneEndsItByName) {
  options.needs_all = true;
  Make({"a", "b", "c"});
  std::optional<std::string> at_c;
  a().resync.Meet(Into(at_a));
  b().resync.Meet(Into(at_b));
  (*this)[2].resync.Meet(Into(at_c));
  ASSERT_TRUE(Until([&] { return at_a && at_b && at_c; }));
  EXPECT_THAT(a().values(), Each(3.0F));

  // One that waits, as one that comes.
  at_a.reset();
  at_b.reset();
  b().resync.Meet(Into(at_b));
  Settle();
  EXPECT_FALSE(at_b);
  a().members = b().members = {"a", "b"};
  b().resync.OnMembers();
  EXPECT_EQ(at_b, "c is gone");
  a().resync.Meet(Into(at_a));
  EXPECT_EQ(at_a, "c is gone");
}

TEST_F(BlockingResyncTest, WhereAllAreNeededOneWhoseTrainingFailedEndsIt) {
  options.needs_all = true;
  Make({"a", "b"});
  a().resync.Meet(Into(at_a));
  b().resync.Meet(Into(at_b));
  ASSERT_TRUE(Until([&] { return at_a && at_b; }));
  at_b.reset();
  b().failed = "a";  // It is here, and would average on.
  b().resync.Meet(Into(at_b));
  EXPECT_EQ(at_b, "training of a has failed");
}

class MeanOfTest : public ResyncTest {
 protected:
  void Begin() {
    for (std::size_t i = 0; i < sides_.size(); ++i)
      sides_[i]->resync.MeanOf(values[i], Into(outcomes[i]));
  }
  bool End() {
    return Until([&] { return outcomes[0] && outcomes[1]; });
  }

  std::vector<float> values[2] = {std::vector<float>(kSize, 1),
                                  std::vector<float>(kSize, 4)};
  std::optional<std::string> outcomes[2];
};

TEST_F(MeanOfTest, IsTheMeanAtAllAndTheWeightsStayAsTheyAre) {
  Make();
  for (int round = 0; round < 3; ++round) {
    values[0].assign(kSize, 1);
    values[1].assign(kSize, 4);
    outcomes[0].reset();
    outcomes[1].reset();
    Begin();
    ASSERT_TRUE(End());
    for (const auto& value : values) EXPECT_THAT(value, Each(2.5F));
  }
  EXPECT_EQ(room.proposals.size(), 1U);  // One group for all of them.
  EXPECT_EQ(a().resync.succeeded(), 3U);
  EXPECT_THAT(a().values(), Each(0.0F));
  EXPECT_THAT(b().values(), Each(8.0F));
}

TEST_F(MeanOfTest, BeginsWhenAllThatAreExpectedAreThere) {
  Make();
  a().members = {"a"};
  Begin();
  Settle();
  EXPECT_FALSE(outcomes[0] || outcomes[1]);
  a().members = {"a", "b"};
  ASSERT_TRUE(End());
  EXPECT_THAT(values[0], Each(2.5F));
}

TEST_F(MeanOfTest, ARoundOfWeightsMeanwhileStopsNoneOfIt) {
  Make();
  a().members = {"a"};
  Begin();
  Settle();
  RoundOf(b());
  a().members = {"a", "b"};
  ASSERT_TRUE(End());
  EXPECT_THAT(values[0], Each(2.5F));
}

TEST_F(MeanOfTest, SaysHowManyAreMissing) {
  options.limit = transport::Milliseconds(50);
  Make();
  a().members = {"a"};
  a().resync.MeanOf(values[0], Into(outcomes[0]));
  ASSERT_TRUE(Until([&] { return outcomes[0].has_value(); }));
  EXPECT_EQ(outcomes[0], "1 of 2 members are here");
}

TEST_F(MeanOfTest, AFailureChangesNothingAndIsCounted) {
  Make();
  room.fail = "b is lost";
  Begin();
  ASSERT_TRUE(End());
  EXPECT_EQ(outcomes[0], "b is lost");
  EXPECT_THAT(values[0], Each(1.0F));
  EXPECT_EQ(a().resync.failed(), 1U);
}

TEST_F(MeanOfTest, ASumThatIsNotFiniteIsNotLetIn) {
  Make();
  values[1][7] = std::numeric_limits<float>::quiet_NaN();
  Begin();
  ASSERT_TRUE(End());
  EXPECT_EQ(outcomes[0], "the sum of the gradients is not finite");
  EXPECT_THAT(values[0], Each(1.0F));
}

}  // namespace
}  // namespace hearsay::daemon
