#include "transport/member_table.h"

#include <gtest/gtest.h>

namespace hearsay::transport {
namespace {

using std::chrono::milliseconds;

const Clock::time_point kStart = Clock::time_point() + std::chrono::hours(1);

class MemberTableTest : public testing::Test {
 protected:
  MemberTableTest()
      : table_(Timing{}, [this](const Member& m) { changes_.push_back(m); }) {}
  void Join(const std::string& node, std::uint64_t incarnation = 1) {
    table_.OnAlive(node, node + ":1", incarnation, "tcp", kStart);
  }
  MemberState State(const std::string& node) const {
    return table_.Find(node)->state;
  }
  std::vector<std::string> SilentAt(int ms) {
    return table_.Silent(kStart + milliseconds(ms), kStart);
  }

  std::vector<Member> changes_;
  MemberTable table_;  // Default timing: 250, 1000, 2000 ms.
};

TEST_F(MemberTableTest, SilenceMakesSuspectThenFailed) {
  Join("b");
  EXPECT_TRUE(SilentAt(999).empty());
  EXPECT_EQ(State("b"), MemberState::kAlive);
  EXPECT_TRUE(SilentAt(1000).empty());
  EXPECT_EQ(State("b"), MemberState::kSuspect);
  EXPECT_TRUE(SilentAt(1999).empty());
  EXPECT_EQ(SilentAt(2000), std::vector<std::string>{"b"});
}

TEST_F(MemberTableTest, AHeartbeatEndsSuspicion) {
  Join("b");
  SilentAt(1500);
  EXPECT_TRUE(table_.OnHeartbeat("b", "r", kStart + milliseconds(1600)));
  EXPECT_EQ(State("b"), MemberState::kAlive);
  EXPECT_EQ(table_.Find("b")->report, "r");
  EXPECT_TRUE(SilentAt(2500).empty());
}

TEST_F(MemberTableTest, APauseOfThisVeryProcessIsNobodysSilence) {
  Join("b");
  const auto later = kStart + milliseconds(60000);
  EXPECT_TRUE(table_.Silent(later, later).empty());
  EXPECT_EQ(State("b"), MemberState::kAlive);
}

TEST_F(MemberTableTest, TellsEachChangeOnce) {
  Join("b");
  SilentAt(1500);
  SilentAt(1600);
  table_.OnFailed("b", "gone", kStart);
  table_.OnFailed("b", "gone", kStart);
  ASSERT_EQ(changes_.size(), 3U);
  EXPECT_EQ(changes_[0].state, MemberState::kAlive);
  EXPECT_EQ(changes_[1].state, MemberState::kSuspect);
  EXPECT_EQ(changes_[2].state, MemberState::kFailed);
  EXPECT_EQ(changes_[2].last_error, "gone");
}

TEST_F(MemberTableTest, ANewIncarnationIsNewsEvenIfNobodySawTheOldOneDie) {
  Join("b", 1);
  table_.OnHeartbeat("b", "old report", kStart);
  Join("b", 2);
  ASSERT_EQ(changes_.size(), 2U);
  EXPECT_EQ(changes_[1].incarnation, 2U);
  EXPECT_EQ(changes_[1].state, MemberState::kAlive);
  EXPECT_EQ(table_.Find("b")->report, "");
}

TEST_F(MemberTableTest, LeavingIsNotFailing) {
  Join("b");
  table_.OnLeft("b", kStart);
  EXPECT_EQ(State("b"), MemberState::kLeft);
  EXPECT_FALSE(table_.IsPresent("b"));
  EXPECT_TRUE(SilentAt(99999).empty());
}

TEST_F(MemberTableTest, IsFreshForTwoHeartbeats) {
  Join("b");
  EXPECT_TRUE(table_.IsFresh("b", kStart + milliseconds(499)));
  EXPECT_FALSE(table_.IsFresh("b", kStart + milliseconds(500)));
  EXPECT_FALSE(table_.IsFresh("nobody", kStart));
}

TEST_F(MemberTableTest, ARefusedStrangerStandsBesideTheMemberOfItsName) {
  Join("b");
  EXPECT_TRUE(table_.OnRefused("b", "h:9", "two nodes", false, kStart));
  EXPECT_FALSE(table_.OnRefused("b", "h:9", "two nodes", false, kStart));
  EXPECT_EQ(State("b"), MemberState::kAlive);
  ASSERT_TRUE(table_.refused().contains("h:9"));
  EXPECT_EQ(table_.refused().at("h:9").state, MemberState::kRefused);
  EXPECT_EQ(changes_.back().last_error, "two nodes");
}

TEST_F(MemberTableTest, AMemberThatCameBackWithAnotherModelIsRefusedItself) {
  Join("b");
  table_.OnFailed("b", "gone", kStart);
  EXPECT_TRUE(table_.OnRefused("b", "b:1", "its model", true, kStart));
  EXPECT_EQ(State("b"), MemberState::kRefused);
  EXPECT_TRUE(table_.refused().empty());
  Join("b", 3);
  EXPECT_EQ(State("b"), MemberState::kAlive);
  EXPECT_EQ(table_.Find("b")->last_error, "");
}

TEST_F(MemberTableTest, StrangersPushEachOtherOutNotTheMemory) {
  for (int i = 0; i < 2000; ++i)
    table_.OnRefused("x", "h:" + std::to_string(i), "no", false,
                     kStart + milliseconds(i));
  EXPECT_LE(table_.refused().size(), 256U);
  EXPECT_TRUE(table_.refused().contains("h:1999"));
}

TEST_F(MemberTableTest, ThoseThatAreGoneAreForgottenBeforeTheyAreTooMany) {
  Join("here");
  for (int i = 0; i < 3000; ++i) {
    const std::string node = "n" + std::to_string(i);
    Join(node);
    table_.OnFailed(node, "gone", kStart);
  }
  EXPECT_LE(table_.named().size(), 1024U);
  EXPECT_EQ(State("here"), MemberState::kAlive);
  EXPECT_EQ(State("n2999"), MemberState::kFailed);
}

TEST_F(MemberTableTest, ListsMembersByName) {
  Join("c");
  Join("a");
  Join("b");
  std::string names;
  for (const auto& member : table_.named()) names += member.node;
  EXPECT_EQ(names, "abc");
}

TEST_F(MemberTableTest, NewsOfUnknownMembersIsIgnored) {
  EXPECT_FALSE(table_.OnHeartbeat("x", "", kStart));
  table_.OnFailed("x", "", kStart);
  table_.OnLeft("x", kStart);
  table_.NoteError("x", "");
  EXPECT_EQ(table_.Find("x"), nullptr);
  EXPECT_TRUE(changes_.empty());
}

}  // namespace
}  // namespace hearsay::transport
