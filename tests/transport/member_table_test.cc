#include "transport/member_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearsay::transport {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

const Clock::time_point kStart = Clock::time_point() + std::chrono::hours(1);

class MemberTableTest : public testing::Test {
 protected:
  MemberTableTest()
      : table_(Timing{}, [this](const Member& m) { changes_.push_back(m); }) {}
  void Join(const std::string& node, std::uint64_t incarnation = 1,
            swim::State verdict = swim::State::kAlive) {
    table_.OnConnected(
        node,
        {.address = node + ":1", .incarnation = incarnation, .lane = "tcp"},
        verdict, kStart);
  }
  void Say(const std::string& node, swim::State state,
           const std::string& said_by = "c") {
    table_.OnVerdict({.node = node,
                      .address = node + ":7",
                      .life = 1,
                      .incarnation = 0,
                      .state = state,
                      .said_by = said_by},
                     kStart);
  }
  MemberState State(const std::string& node) const {
    return table_.Find(node)->state;
  }
  EdgeState Edge(const std::string& node) const {
    return table_.Find(node)->edge;
  }
  MemberTable::Silence SilentAt(int ms, int resumed_ms = 0) {
    return table_.FindSilence(kStart + milliseconds(ms),
                              kStart + milliseconds(resumed_ms));
  }

  std::vector<Member> changes_;
  MemberTable table_;  // Default timing: 250, 1000, 3000 ms.
};

TEST_F(MemberTableTest, SilenceIsOfTheEdgeAndNotOfTheMember) {
  Join("b");
  EXPECT_THAT(SilentAt(999).begun, IsEmpty());
  EXPECT_EQ(Edge("b"), EdgeState::kConnected);
  EXPECT_THAT(SilentAt(1000).begun, ElementsAre("b"));
  EXPECT_THAT(SilentAt(1100).begun, IsEmpty()) << "told once";
  EXPECT_EQ(Edge("b"), EdgeState::kSilent);
  EXPECT_EQ(State("b"), MemberState::kAlive);
  EXPECT_FALSE(table_.Find("b")->reachable());
  EXPECT_EQ(changes_.back().last_error, "nothing heard for 1000 ms");
  EXPECT_THAT(SilentAt(2999).beyond, IsEmpty());
  EXPECT_THAT(SilentAt(3000).beyond, ElementsAre("b"));
  table_.OnCut("b", "nothing heard", kStart + milliseconds(3000));
  EXPECT_EQ(Edge("b"), EdgeState::kBroken);
  EXPECT_EQ(State("b"), MemberState::kAlive);
  EXPECT_EQ(table_.Find("b")->edge_since, kStart + milliseconds(3000));
  EXPECT_THAT(SilentAt(99999).beyond, IsEmpty());
}

TEST_F(MemberTableTest, AWordEndsTheSilence) {
  Join("b");
  SilentAt(1500);
  EXPECT_TRUE(table_.OnHeard("b", kStart + milliseconds(1600)));
  table_.OnReport("b", "r");
  EXPECT_EQ(Edge("b"), EdgeState::kConnected);
  EXPECT_EQ(changes_.back().last_error, "");
  EXPECT_EQ(table_.Find("b")->report, "r");
  EXPECT_THAT(SilentAt(2500).begun, IsEmpty());
}

TEST_F(MemberTableTest, APauseOfThisVeryProcessIsNobodysSilence) {
  Join("b");
  const auto silence = SilentAt(60000, 60000);
  EXPECT_THAT(silence.begun, IsEmpty());
  EXPECT_THAT(silence.beyond, IsEmpty());
  EXPECT_EQ(Edge("b"), EdgeState::kConnected);
}

TEST_F(MemberTableTest, TellsEachChangeOnceAndWhoseWordItIs) {
  Join("b");
  Say("b", swim::State::kSuspect, "c");
  Say("b", swim::State::kSuspect, "d");
  Say("b", swim::State::kFailed, "d");
  table_.OnCut("b", "gone", kStart);
  table_.OnCut("b", "gone", kStart);
  ASSERT_EQ(changes_.size(), 4U);
  EXPECT_EQ(changes_[0].state, MemberState::kAlive);
  EXPECT_EQ(changes_[0].said_by, "b");
  EXPECT_EQ(changes_[1].state, MemberState::kSuspect);
  EXPECT_EQ(changes_[1].said_by, "c");
  EXPECT_EQ(changes_[2].state, MemberState::kFailed);
  EXPECT_EQ(changes_[2].said_by, "d");
  EXPECT_EQ(changes_[3].edge, EdgeState::kBroken);
  EXPECT_EQ(changes_[3].last_error, "gone");
}

TEST_F(MemberTableTest, KnowsThoseThatOnlyOthersHaveMet) {
  Say("b", swim::State::kAlive, "b");
  ASSERT_EQ(changes_.size(), 1U);
  EXPECT_EQ(State("b"), MemberState::kAlive);
  EXPECT_EQ(Edge("b"), EdgeState::kNone);
  EXPECT_FALSE(table_.Find("b")->reachable());
  EXPECT_EQ(table_.Find("b")->address, "b:7");
  EXPECT_THAT(SilentAt(99999).begun, IsEmpty());
  Join("b");
  EXPECT_EQ(table_.Find("b")->address, "b:1") << "its own word";
  Say("b", swim::State::kSuspect);
  EXPECT_EQ(table_.Find("b")->address, "b:1");
  Say("x", swim::State::kFailed, "c");
  EXPECT_EQ(changes_.back().node, "x");
  EXPECT_EQ(State("x"), MemberState::kFailed);
}

TEST_F(MemberTableTest, AMemberThatIsBackIsFailedUntilItHasDeniedIt) {
  Join("b", 1, swim::State::kFailed);
  EXPECT_EQ(State("b"), MemberState::kFailed);
  EXPECT_EQ(Edge("b"), EdgeState::kConnected);
  EXPECT_FALSE(table_.Find("b")->reachable());
  Say("b", swim::State::kAlive, "b");
  EXPECT_TRUE(table_.Find("b")->reachable());
}

TEST_F(MemberTableTest, ANewIncarnationIsNewsEvenIfNobodySawTheOldOneDie) {
  Join("b", 1);
  table_.OnReport("b", "old report");
  Join("b", 2);
  ASSERT_EQ(changes_.size(), 2U);
  EXPECT_EQ(changes_[1].incarnation, 2U);
  EXPECT_EQ(changes_[1].state, MemberState::kAlive);
  EXPECT_EQ(table_.Find("b")->report, "");
}

TEST_F(MemberTableTest, LeavingIsNotFailing) {
  Join("b");
  Say("b", swim::State::kLeft, "b");
  table_.OnCut("b", "", kStart);
  EXPECT_EQ(State("b"), MemberState::kLeft);
  EXPECT_EQ(Edge("b"), EdgeState::kNone);
  EXPECT_THAT(SilentAt(99999).beyond, IsEmpty());
  // Said by an operator of one that is gone: no edge is missed any more.
  Join("c");
  table_.OnCut("c", "gone", kStart);
  Say("c", swim::State::kLeft, "a");
  EXPECT_EQ(Edge("c"), EdgeState::kNone);
  EXPECT_EQ(table_.Find("c")->last_error, "");
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
  Say("b", swim::State::kSuspect);
  table_.OnCut("b", "gone", kStart);
  EXPECT_TRUE(table_.OnRefused("b", "b:1", "its model", true, kStart));
  EXPECT_EQ(State("b"), MemberState::kRefused);
  Say("b", swim::State::kFailed);
  EXPECT_EQ(State("b"), MemberState::kRefused) << "the better reason";
  Say("b", swim::State::kAlive, "b");
  EXPECT_EQ(State("b"), MemberState::kRefused) << "it is others who let it in";
  EXPECT_EQ(table_.Find("b")->last_error, "its model");
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
    table_.OnCut(node, "gone", kStart);
    Say(node, swim::State::kFailed);
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
  EXPECT_FALSE(table_.OnHeard("x", kStart));
  table_.OnReport("x", "");
  table_.OnCut("x", "", kStart);
  table_.NoteError("x", "");
  EXPECT_EQ(table_.Find("x"), nullptr);
  EXPECT_TRUE(changes_.empty());
}

}  // namespace
}  // namespace hearsay::transport
