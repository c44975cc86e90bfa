#include "daemon/neighbours.h"

#include <gtest/gtest.h>

#include <map>

#include <vector>

namespace hearsay::daemon {
namespace {

using namespace std::chrono_literals;

class NeighboursTest : public testing::Test {
 protected:
  NeighboursTest() { Update(); }

  void Update() { a.Update({b, c, d}, now); }
  std::string Next() { return a.Next(now).value_or("nobody"); }
  // The loop does this at every tick of the node.
  void Sleep(std::chrono::seconds time) {
    now += time;
    Update();
  }
  void Quarantine(const std::string& peer) {
    for (int i = 0; i < 3; ++i) a.OnOffence(peer, "not_finite", now);
  }
  void Freeze(const std::string& peer) {
    for (int i = 0; i < 3; ++i) a.OnFailure(peer, now);
  }

  Cooldown::Time now = Cooldown::Time{} + 1h;
  std::vector<std::string> told;
  Neighbours a{"a", [this](const auto& text) { told.push_back(text); }};
  Candidate b{.name = "b", .reachable = true, .mixes = true};
  Candidate c{.name = "c", .reachable = true, .mixes = true};
  Candidate d{.name = "d", .reachable = true, .mixes = true};
};

TEST_F(NeighboursTest, TheNextByNameIsAsked) {
  EXPECT_EQ(Next(), "b");
  EXPECT_EQ(a.repairs(), 0U);
  EXPECT_EQ(told, std::vector<std::string>{"the ring: next is b"});
}

TEST_F(NeighboursTest, AMemberThatCannotBeReachedIsPassedOverAndCounted) {
  b.reachable = false;
  Update();
  EXPECT_EQ(Next(), "c");
  EXPECT_EQ(a.repairs(), 1U);
  b.reachable = true;
  Update();
  EXPECT_EQ(Next(), "b");
  EXPECT_EQ(a.repairs(), 1U) << "its return is no repair";
}

TEST_F(NeighboursTest, AMemberThatLeftIsNoFailure) {
  b.reachable = false;
  b.left = true;
  Update();
  EXPECT_EQ(Next(), "c");
  EXPECT_EQ(a.repairs(), 0U);
}

TEST_F(NeighboursTest, AMemberThatIsJoiningIsNotInTheRingYet) {
  b.mixes = false;
  Update();
  EXPECT_EQ(Next(), "c");
}

TEST_F(NeighboursTest, AQuarantinedMemberIsNeitherAskedNorAnsweredForAWhile) {
  Quarantine("b");
  EXPECT_FALSE(a.Trusts("b", now));
  EXPECT_EQ(Next(), "c") << "at once, without waiting for a tick";
  EXPECT_EQ(a.repairs(), 1U);
  EXPECT_EQ(told[1], "b is quarantined for 10 s (time 1): not_finite");
  Sleep(9s);
  EXPECT_EQ(Next(), "c");
  Sleep(1s);
  EXPECT_EQ(Next(), "b");
  EXPECT_TRUE(a.Trusts("b", now));
}

TEST_F(NeighboursTest, AFrozenMemberIsBypassedButStillAnswered) {
  Freeze("b");
  EXPECT_EQ(Next(), "c");
  EXPECT_TRUE(a.Trusts("b", now));
  EXPECT_EQ(a.repairs(), 1U);
  Sleep(2s);
  EXPECT_EQ(Next(), "b");
  a.OnFailure("b", now);
  EXPECT_EQ(Next(), "c") << "on probation once is enough";
  Sleep(3s);
  EXPECT_EQ(Next(), "c") << "for twice as long";
}

TEST_F(NeighboursTest, AccidentsAreNoOffence) {
  for (int i = 0; i < 100; ++i) a.OnFailure("b", now);
  EXPECT_TRUE(a.Trusts("b", now));
  EXPECT_EQ(a.quarantine().times("b"), 0U);
}

TEST_F(NeighboursTest, TwoFailuresBetweenSuccessesAreNothing) {
  for (int i = 0; i < 50; ++i) {
    a.OnFailure("b", now);
    a.OnFailure("b", now);
    a.OnGood("b", now);
  }
  EXPECT_EQ(Next(), "b");
}

TEST_F(NeighboursTest, ARestartEndsABypassAndNoQuarantine) {
  Freeze("b");
  Quarantine("c");
  a.OnRestart("b");
  a.OnRestart("c");
  Update();
  EXPECT_EQ(Next(), "b");
  EXPECT_FALSE(a.Trusts("c", now));
}

TEST_F(NeighboursTest, WhenAllAreSetAsideItIsAlone) {
  for (const auto* peer : {"b", "c", "d"}) Quarantine(peer);
  EXPECT_EQ(Next(), "nobody");
  EXPECT_EQ(told.back(), "the ring: alone");
  Sleep(10s);
  EXPECT_EQ(Next(), "b");
}

TEST(TopologyOfNeighboursTest, IsAskedInTurnsAndSurvivesADeath) {
  std::vector<std::string> told;
  Neighbours a("a", [&](const auto& text) { told.push_back(text); },
               {.kind = mixing::TopologyKind::kExponential});
  const auto now = Cooldown::Time{} + 1h;
  std::vector<Candidate> others;
  for (const char* name : {"b", "c", "d", "e", "f", "g", "h"})
    others.push_back({.name = name, .reachable = true, .mixes = true});
  a.Update(others, now);
  EXPECT_EQ(told.back(), "the exponential: asks b, c, e");
  EXPECT_EQ(a.Next(now), "b");
  EXPECT_EQ(a.Next(now), "c");
  EXPECT_EQ(a.Next(now), "e");
  EXPECT_EQ(a.Next(now), "b");
  others[3].reachable = false;
  a.Update(others, now);
  EXPECT_EQ(told.back(), "the exponential: asks b, c, f");
  EXPECT_EQ(a.repairs(), 1U);
  others[6].reachable = false;
  a.Update(others, now);
  EXPECT_EQ(a.repairs(), 1U) << "this node never asks h";
}

TEST(TopologyOfNeighboursTest, GroupsAreByLabel) {
  std::vector<std::string> told;
  Neighbours a("a", [&](const auto& text) { told.push_back(text); },
               {.kind = mixing::TopologyKind::kHierarchical, .group = "east"});
  a.Update({{.name = "b", .reachable = true, .mixes = true, .group = "west"},
            {.name = "c", .reachable = true, .mixes = true, .group = "east"}},
           Cooldown::Time{} + 1h);
  EXPECT_EQ(told.back(), "the hierarchical: asks b, c");
  int inside = 0;
  for (int i = 0; i < 8; ++i) inside += a.Next(Cooldown::Time{} + 1h) == "c";
  EXPECT_EQ(inside, 6);
}

TEST(TopologyOfNeighboursTest, ARingMayHaveAnOrder) {
  const auto now = Cooldown::Time{} + 1h;
  std::vector<Candidate> others;
  for (const char* name : {"b", "c", "d"})
    others.push_back({.name = name, .reachable = true, .mixes = true});
  Neighbours a("a", [](const auto&) {}, {.explores = true});
  a.SetOrder({"d", "a", "c", "b"});
  a.Update(others, now);
  EXPECT_EQ(a.Next(now), "c");
  std::map<std::string, int> asked;
  for (int i = 1; i < 320; ++i) ++asked[*a.Next(now)];
  // One in sixteen is with any of them in turn.
  EXPECT_GE(asked["c"], 299);
  EXPECT_GE(asked["b"], 6);
  EXPECT_GE(asked["d"], 6);

  // An order of others than there are is none.
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"d", "a", "c"},
        {"d", "a", "c", "e"},
        {"d", "d", "a", "c"},
        {}}) {
    a.SetOrder(wrong);
    a.Update(others, now);
    EXPECT_EQ(a.Next(now), "b");
  }
}

TEST(TopologyOfNeighboursTest, AListedOneAsksWhomItSays) {
  Neighbours a("a", [](const auto&) {},
               {.kind = mixing::TopologyKind::kFile,
                .adjacency = mixing::ParseAdjacency("a: c\nc: a\n")});
  a.Update({{.name = "b", .reachable = true, .mixes = true},
            {.name = "c", .reachable = true, .mixes = true}},
           Cooldown::Time{} + 1h);
  EXPECT_EQ(a.Next(Cooldown::Time{} + 1h), "c");
}

}  // namespace
}  // namespace hearsay::daemon
