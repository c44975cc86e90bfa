#include "transport/swim/roster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace hearsay::transport::swim {
namespace {

using Outcome = Roster::Outcome;
using testing::ElementsAre;
using testing::IsEmpty;

const Clock::time_point kStart = Clock::time_point() + std::chrono::hours(1);

Record About(const std::string& node, State state,
             std::uint32_t incarnation = 0, std::uint64_t life = 1,
             const std::string& said_by = "b") {
  return {.node = node,
          .address = node + ":1",
          .life = life,
          .incarnation = incarnation,
          .state = state,
          .said_by = said_by};
}

class RosterTest : public testing::Test {
 protected:
  // `count` members besides this one, "a": m0, m1, ...
  void Fill(int count) {
    for (int i = 0; i < count; ++i)
      roster_.Learn(About("m" + std::to_string(i), State::kAlive), kStart);
  }
  State StateOf(const std::string& node) const {
    return roster_.Find(node)->record.state;
  }
  double WaitSeconds(const std::string& node) const {
    return std::chrono::duration<double>(
               roster_.Find(node)->suspicion->deadline() - kStart)
        .count();
  }

  Settings settings_;  // 1 s, multiplier 4, at most 6 times.
  Roster roster_{settings_, About("a", State::kAlive, 0, 5, "a")};
};

TEST_F(RosterTest, TellsNewsFromWhatWasKnown) {
  EXPECT_EQ(roster_.Learn(About("b", State::kAlive), kStart),
            Outcome::kChanged);
  EXPECT_EQ(roster_.Learn(About("b", State::kAlive), kStart), Outcome::kOld);
  EXPECT_EQ(roster_.Learn(About("b", State::kFailed), kStart),
            Outcome::kChanged);
  EXPECT_EQ(roster_.Learn(About("b", State::kSuspect), kStart), Outcome::kOld);
  EXPECT_EQ(StateOf("b"), State::kFailed);
}

// The closed form of Lifeguard, section IV.B, for n = 100 members: min is
// 4 x log10(100) x 1 s = 8 s, max 48 s, and the wait with c of k = 2
// confirmations max - (max - min) log(c + 1) / log(k + 1).
TEST_F(RosterTest, EveryIndependentAccuserShortensTheWait) {
  Fill(99);
  roster_.Learn(About("m0", State::kSuspect, 0, 1, "m1"), kStart);
  EXPECT_NEAR(WaitSeconds("m0"), 48, 1e-6);
  roster_.Learn(About("m0", State::kSuspect, 0, 1, "m1"), kStart);
  EXPECT_NEAR(WaitSeconds("m0"), 48, 1e-6) << "the same one";
  roster_.Learn(About("m0", State::kSuspect, 0, 1, "m2"), kStart);
  EXPECT_NEAR(WaitSeconds("m0"), 48 - 40 * std::log(2) / std::log(3), 1e-6);
  roster_.Learn(About("m0", State::kSuspect, 0, 1, "m3"), kStart);
  EXPECT_NEAR(WaitSeconds("m0"), 8, 1e-6);
  roster_.Learn(About("m0", State::kSuspect, 0, 1, "m4"), kStart);
  EXPECT_NEAR(WaitSeconds("m0"), 8, 1e-6);
}

TEST_F(RosterTest, AClosedPortEndsTheDoubt) {
  Fill(99);
  roster_.Learn(About("m0", State::kSuspect), kStart);
  roster_.Convince("m0");
  EXPECT_EQ(WaitSeconds("m0"), 8);
  roster_.Convince("nobody");
}

TEST_F(RosterTest, TwoMembersHaveNobodyToConfirm) {
  Fill(1);
  roster_.Learn(About("m0", State::kSuspect), kStart);
  EXPECT_EQ(WaitSeconds("m0"), 4);
  EXPECT_THAT(roster_.Overdue(kStart + std::chrono::milliseconds(3999)),
              IsEmpty());
  EXPECT_THAT(roster_.Overdue(kStart + std::chrono::seconds(4)),
              ElementsAre("m0"));
  roster_.Postpone(std::chrono::seconds(30));
  EXPECT_THAT(roster_.Overdue(kStart + std::chrono::seconds(33)), IsEmpty());
}

TEST_F(RosterTest, ARefutationEndsSuspicion) {
  Fill(1);
  roster_.Learn(About("m0", State::kSuspect), kStart);
  EXPECT_EQ(roster_.Learn(About("m0", State::kAlive, 1), kStart),
            Outcome::kChanged);
  EXPECT_THAT(roster_.Overdue(kStart + std::chrono::hours(1)), IsEmpty());
  EXPECT_EQ(StateOf("m0"), State::kAlive);
}

TEST_F(RosterTest, DeniesWhatIsSaidOfItself) {
  for (const auto bad : {State::kSuspect, State::kFailed, State::kLeft}) {
    const auto said = About("a", bad, roster_.self().incarnation, 5);
    EXPECT_EQ(roster_.Learn(said, kStart), Outcome::kRefuted);
    EXPECT_EQ(roster_.self().state, State::kAlive);
    EXPECT_TRUE(Supersedes(roster_.self(), said));
    EXPECT_EQ(roster_.Learn(said, kStart), Outcome::kOld) << "denied already";
  }
  EXPECT_EQ(roster_.self().incarnation, 3U);
  EXPECT_EQ(roster_.Find("a"), nullptr);
}

TEST_F(RosterTest, IgnoresWhatIsSaidOfAFormerLifeOfItself) {
  EXPECT_EQ(roster_.Learn(About("a", State::kFailed, 9, 4), kStart),
            Outcome::kOld);
  EXPECT_EQ(roster_.self().incarnation, 0U);
}

TEST_F(RosterTest, AFormerSelfWithAClockAheadIsOutlived) {
  for (const auto state : {State::kAlive, State::kFailed, State::kLeft}) {
    const auto ghost = About("a", state, 7, roster_.self().life + 1000);
    EXPECT_EQ(roster_.Learn(ghost, kStart), Outcome::kRefuted);
    EXPECT_TRUE(Supersedes(roster_.self(), ghost));
  }
}

TEST_F(RosterTest, ItsCountOfIncarnationsCannotBeExhausted) {
  const auto last = std::numeric_limits<std::uint32_t>::max();
  const auto said = About("a", State::kFailed, last, 5);
  EXPECT_EQ(roster_.Learn(said, kStart), Outcome::kRefuted);
  EXPECT_TRUE(Supersedes(roster_.self(), said));
}

TEST_F(RosterTest, OneThatLeavesDoesNotDenyIt) {
  roster_.Leave();
  EXPECT_EQ(roster_.Learn(About("a", State::kFailed, 9, 5), kStart),
            Outcome::kOld);
  EXPECT_EQ(roster_.self().state, State::kLeft);
}

TEST_F(RosterTest, PassesNewsOnSoManyTimesAndThenNoMore) {
  Fill(9);  // n = 10: 4 x ceil(log10(11)) = 8 times.
  int sent = 0;
  for (int i = 0; i < 50; ++i)
    for (const auto& record :
         roster_.Updates("m1", 32, Roster::Fill::kNewsOnly))
      if (record.node == "m0") ++sent;
  EXPECT_EQ(sent, 8);
}

TEST_F(RosterTest, TellsTheSuspectFirstWhatIsSaidOfIt) {
  Fill(30);
  roster_.Learn(About("m7", State::kSuspect), kStart);
  while (roster_.Updates("m1", 32, Roster::Fill::kNewsOnly).size() > 1) {
  }
  const auto told = roster_.Updates("m7", 3, Roster::Fill::kNewsOnly);
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[0].node, "a");
  EXPECT_EQ(told[1].state, State::kSuspect);
}

TEST_F(RosterTest, FillsWithTheOthersInTurn) {
  Fill(30);
  std::map<std::string, int> told;
  for (int i = 0; i < 40; ++i) {
    const auto updates = roster_.Updates("x", 10, Roster::Fill::kOthersInTurn);
    EXPECT_LE(updates.size(), 10U);
    for (const auto& record : updates) ++told[record.node];
  }
  EXPECT_EQ(told.size(), 31U);
  for (const auto& [node, count] : told) EXPECT_GE(count, 4) << node;
}

TEST_F(RosterTest, ThoseThatAreGoneMakeRoomAndThoseThatLiveDoNot) {
  Fill(static_cast<int>(kMaxMembers));
  EXPECT_EQ(roster_.Learn(About("late", State::kAlive), kStart), Outcome::kOld);
  EXPECT_EQ(roster_.Find("late"), nullptr);
  roster_.Learn(About("m5", State::kFailed), kStart);
  roster_.Learn(About("m9", State::kLeft), kStart + std::chrono::seconds(9));
  roster_.Learn(About("late", State::kAlive), kStart);
  EXPECT_NE(roster_.Find("late"), nullptr);
  EXPECT_EQ(roster_.Find("m9"), nullptr) << "those that left go first";
  EXPECT_NE(roster_.Find("m5"), nullptr);
  EXPECT_EQ(roster_.members().size(), kMaxMembers);
}

}  // namespace
}  // namespace hearsay::transport::swim
