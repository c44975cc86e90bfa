// One Swim, its world played by hand.
#include "transport/swim/swim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace hearsay::transport::swim {
namespace {

using Kind = Message::Kind;

class SwimTest : public testing::Test, protected Swim::World {
 protected:
  struct Sent {
    std::string to;
    Message message;
  };

  void Meet(const std::string& node) {
    connected_.insert(node);
    swim_.OnConnected(node, node + ":1", 1, now_);
  }
  // In ticks of 10 ms.
  void Run(Milliseconds span) {
    for (const auto until = now_ + span; now_ < until;) {
      now_ += Milliseconds(10);
      swim_.Tick(now_);
    }
  }
  void Reply(const std::string& from, Kind kind, std::uint64_t probe,
             const std::string& target = {}) {
    swim_.Receive(
        from, {.kind = kind, .probe = probe, .target = target, .updates = {}},
        now_);
  }
  std::vector<Sent> Take(Kind kind) {
    std::vector<Sent> taken;
    for (auto& sent : sent_)
      if (sent.message.kind == kind) taken.push_back(sent);
    std::erase_if(sent_,
                  [kind](const Sent& s) { return s.message.kind == kind; });
    return taken;
  }
  State StateOf(const std::string& node) const {
    return swim_.Find(node)->record.state;
  }

  bool Send(const std::string& to, Message message) override {
    if (!connected_.contains(to)) return false;
    sent_.push_back({to, std::move(message)});
    return true;
  }
  void OnVerdict(const Member& member) override {
    verdicts_.push_back(member.record);
  }
  void OnRefuted() override { ++refuted_; }

  std::set<std::string> connected_;
  std::vector<Sent> sent_;
  std::vector<Record> verdicts_;
  int refuted_ = 0;
  Clock::time_point now_ = Clock::time_point() + std::chrono::hours(1);
  Settings settings_;  // 1 s, 500 ms, 3 helpers
  Swim swim_{settings_,
             {.node = "a",
              .address = "a:1",
              .life = 1,
              .incarnation = 0,
              .state = State::kAlive,
              .said_by = "a"},
             7,
             *this};
};

TEST_F(SwimTest, ProbesEveryMemberOnceARound) {
  const std::string names[] = {"b", "c", "d", "e", "f"};
  for (const auto& name : names) Meet(name);
  for (int round = 0; round < 3; ++round) {
    std::multiset<std::string> probed;
    for (int i = 0; i < 5; ++i) {
      Run(Milliseconds(i == 0 && round == 0 ? 10 : 1000));
      for (const auto& ping : Take(Kind::kPing)) {
        probed.insert(ping.to);
        Reply(ping.to, Kind::kAck, ping.message.probe);
      }
    }
    EXPECT_EQ(probed, (std::multiset<std::string>{"b", "c", "d", "e", "f"}));
  }
  EXPECT_TRUE(Take(Kind::kPingRequest).empty());
}

TEST_F(SwimTest, AsksOthersBeforeItSuspects) {
  for (const char* name : {"b", "c", "d", "e", "f"}) Meet(name);
  Run(Milliseconds(10));
  const auto ping = Take(Kind::kPing).at(0);
  Run(Milliseconds(490));
  EXPECT_TRUE(Take(Kind::kPingRequest).empty());
  Run(Milliseconds(20));
  const auto asked = Take(Kind::kPingRequest);
  ASSERT_EQ(asked.size(), 3U);
  for (const auto& request : asked) {
    EXPECT_NE(request.to, ping.to);
    EXPECT_EQ(request.message.target, ping.to);
  }
  EXPECT_EQ(StateOf(ping.to), State::kAlive);
  // One helper reached it.
  Reply(asked[1].to, Kind::kAck, asked[1].message.probe);
  Run(Milliseconds(470));
  EXPECT_EQ(StateOf(ping.to), State::kAlive);
  EXPECT_TRUE(verdicts_.size() == 5);  // the meetings
}

TEST_F(SwimTest, SuspectsAtTheEndOfTheIntervalAndBlamesItselfForSilentHelpers) {
  for (const char* name : {"b", "c", "d", "e", "f"}) Meet(name);
  Run(Milliseconds(10));
  const std::string target = Take(Kind::kPing).at(0).to;
  Run(Milliseconds(520));
  const auto asked = Take(Kind::kPingRequest);
  Reply(asked.at(0).to, Kind::kNack, asked[0].message.probe);
  Reply(asked.at(0).to, Kind::kNack, asked[0].message.probe);  // counts once
  Run(Milliseconds(480));
  EXPECT_EQ(StateOf(target), State::kSuspect);
  EXPECT_EQ(swim_.health(), 2);
}

TEST_F(SwimTest, AnswersFromElsewhereProveNothing) {
  for (const char* name : {"b", "c"}) Meet(name);
  Run(Milliseconds(10));
  const auto ping = Take(Kind::kPing).at(0);
  Reply("stranger", Kind::kAck, ping.message.probe);
  Reply(ping.to, Kind::kAck, ping.message.probe + 100);
  Run(Milliseconds(1000));
  EXPECT_EQ(StateOf(ping.to), State::kSuspect);
}

TEST_F(SwimTest, ACutConnectionAsksTheOthersAtOnce) {
  for (const char* name : {"b", "c", "d"}) Meet(name);
  Run(Milliseconds(10));
  for (const auto& ping : Take(Kind::kPing))
    Reply(ping.to, Kind::kAck, ping.message.probe);
  connected_.erase("b");
  swim_.OnCut("b", now_);
  const auto asked = Take(Kind::kPingRequest);
  ASSERT_EQ(asked.size(), 2U);
  EXPECT_EQ(StateOf("b"), State::kAlive);
  for (const auto& request : asked)
    Reply(request.to, Kind::kNack, request.message.probe);
  EXPECT_EQ(StateOf("b"), State::kSuspect);
  EXPECT_EQ(verdicts_.back().said_by, "a");
}

TEST_F(SwimTest, AConnectionMadeAnewAnswersTheProbe) {
  Meet("b");
  Run(Milliseconds(10));
  ASSERT_EQ(Take(Kind::kPing).size(), 1U);
  connected_.erase("b");
  swim_.OnCut("b", now_);
  Meet("b");
  Run(Milliseconds(900));
  EXPECT_EQ(StateOf("b"), State::kAlive);
}

TEST_F(SwimTest, OneThatFallsSilentIsProbedBeforeItsTurn) {
  for (const char* name : {"b", "c", "d", "e", "f"}) Meet(name);
  Run(Milliseconds(10));
  const std::string first = Take(Kind::kPing).at(0).to;
  for (const char* name : {"b", "c", "d", "e", "f"}) {
    swim_.OnSilent(name, now_);
    swim_.OnSilent(name, now_);
    EXPECT_EQ(Take(Kind::kPing).size(), name == first ? 0U : 1U)
        << "one probe at a time";
  }
  swim_.OnSilent("nobody", now_);
  Run(Milliseconds(1010));
  for (const char* name : {"b", "c", "d", "e", "f"})
    EXPECT_EQ(StateOf(name), State::kSuspect);
}

TEST_F(SwimTest, AMemberThatOthersReachStaysAliveThoughOurConnectionIsCut) {
  for (const char* name : {"b", "c", "d"}) Meet(name);
  connected_.erase("b");
  swim_.OnCut("b", now_);
  for (int i = 0; i < 300; ++i) {
    Run(Milliseconds(100));
    for (const auto& request : Take(Kind::kPingRequest))
      Reply(request.to, Kind::kAck, request.message.probe);
    for (const auto& ping : Take(Kind::kPing))
      Reply(ping.to, Kind::kAck, ping.message.probe);
  }
  EXPECT_EQ(verdicts_.size(), 3U);
}

TEST_F(SwimTest, ProbesInTheSteadOfOthers) {
  for (const char* name : {"b", "c"}) Meet(name);
  Reply("b", Kind::kPingRequest, 77, "c");
  const auto ping = Take(Kind::kPing).at(0);
  EXPECT_EQ(ping.to, "c");
  Reply("c", Kind::kAck, ping.message.probe);
  const auto ack = Take(Kind::kAck).at(0);
  EXPECT_EQ(ack.to, "b");
  EXPECT_EQ(ack.message.probe, 77U);
}

TEST_F(SwimTest, SaysNoInTimeWhenTheTargetIsSilentUnknownOrCut) {
  for (const char* name : {"b", "c"}) Meet(name);
  Reply("b", Kind::kPingRequest, 1, "nobody");
  EXPECT_EQ(Take(Kind::kNack).at(0).message.probe, 1U);
  Reply("b", Kind::kPingRequest, 2, "c");
  Run(Milliseconds(390));
  EXPECT_TRUE(Take(Kind::kNack).empty());
  Run(Milliseconds(20));
  EXPECT_EQ(Take(Kind::kNack).at(0).message.probe, 2U);
  Reply("b", Kind::kPingRequest, 3, "c");
  connected_.erase("c");
  swim_.OnCut("c", now_);
  EXPECT_EQ(Take(Kind::kNack).at(0).message.probe, 3U);
}

TEST_F(SwimTest, ManyRequestsCostBoundedMemory) {
  for (const char* name : {"b", "c"}) Meet(name);
  for (std::uint64_t i = 0; i < 10000; ++i)
    Reply("b", Kind::kPingRequest, i, "c");
  EXPECT_EQ(Take(Kind::kPing).size(), 256U);
  EXPECT_EQ(Take(Kind::kNack).size(), 10000U - 256U);
}

TEST_F(SwimTest, APauseOfThisProcessAccusesNobody) {
  for (const char* name : {"b", "c", "d"}) Meet(name);
  Run(Milliseconds(10));
  now_ += std::chrono::seconds(30);
  swim_.Tick(now_);
  // Meanwhile the others have given it up.
  for (const char* name : {"b", "c", "d"}) {
    connected_.erase(name);
    swim_.OnCut(name, now_);
  }
  Run(Milliseconds(500));
  for (const char* name : {"b", "c", "d"})
    EXPECT_EQ(StateOf(name), State::kAlive) << name;
  EXPECT_GT(swim_.health(), 0);
  // But those that stay away are not forgiven for ever.
  Run(Milliseconds(60000));
  EXPECT_EQ(StateOf("b"), State::kFailed);
}

TEST_F(SwimTest, PlainSwimAccusesEverybodyAfterAPause) {
  settings_.lifeguard = false;
  Swim plain(settings_,
             {.node = "a",
              .address = "a:1",
              .life = 1,
              .incarnation = 0,
              .state = State::kAlive,
              .said_by = "a"},
             7, *this);
  connected_.insert("b");
  plain.OnConnected("b", "b:1", 1, now_);
  plain.Tick(now_);
  plain.Tick(now_ + std::chrono::seconds(30));
  EXPECT_EQ(plain.Find("b")->record.state, State::kSuspect);
}

TEST_F(SwimTest, ForceLeaveNeedsOneThatIsGone) {
  for (const char* name : {"b", "c"}) Meet(name);
  EXPECT_FALSE(swim_.ForceLeave("b", now_)) << "alive";
  EXPECT_FALSE(swim_.ForceLeave("nobody", now_));
  connected_.erase("b");
  connected_.erase("c");
  swim_.OnCut("b", now_);
  Run(Milliseconds(10));
  ASSERT_EQ(StateOf("b"), State::kSuspect);
  EXPECT_TRUE(swim_.ForceLeave("b", now_));
  EXPECT_EQ(StateOf("b"), State::kLeft);
  EXPECT_EQ(verdicts_.back().said_by, "a");
}

TEST_F(SwimTest, TellsSoonWhenItIsAccused) {
  Meet("b");
  swim_.Learn({{.node = "a",
                .address = "a:1",
                .life = 1,
                .incarnation = 0,
                .state = State::kFailed,
                .said_by = "b"}},
              now_);
  EXPECT_EQ(refuted_, 1);
  EXPECT_EQ(swim_.self().incarnation, 1U);
  EXPECT_EQ(swim_.health(), 1);
}

}  // namespace
}  // namespace hearsay::transport::swim
