// Who lives, by all accounts: real sessions over loopback, with cables that are
// cut, processes that freeze and die, and parts that find together again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/transport/cables.h"
#include "tests/transport/impostor.h"
#include "tests/transport/node.h"
#include "tests/transport/peer_process.h"

namespace hearsay::transport {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// Nodes behind gates, each with the first as its seed.
class LivenessTest : public testing::Test {
 protected:
  Node& Add(const std::string& name) {
    auto options = Impatient(TestOptions(name, seeds_));
    options.wire = WireKind::kUcx;  // Arrays do not pass a gate.
    options.timing.swim.suspicion_multiplier = suspicion_multiplier_;
    options.advertise = cables_.Gate(name);
    if (seeds_.empty()) seeds_.push_back(options.advertise);
    nodes_[name] = std::make_unique<Node>(options);
    cables_.Lead(name, nodes_[name]->address());
    return *nodes_[name];
  }
  void Add(std::initializer_list<const char*> names) {
    for (const char* name : names) Add(name);
    ASSERT_TRUE(AllMeet());
  }
  Node& operator[](const std::string& name) { return *nodes_.at(name); }
  bool AllMeet() {
    for (auto& [name, node] : nodes_)
      for (const auto& [other, ignored] : nodes_)
        if (name != other && !node->Meets(other)) return false;
    return true;
  }
  void CutPair(const std::string& one, const std::string& other) {
    cables_.Cut([one, other](const std::string& a, const std::string& b) {
      return (a == one && b == other) || (a == other && b == one);
    });
  }
  bool EdgeBecomes(const std::string& at, const std::string& to,
                   EdgeState edge) {
    return Node::Eventually(
        [&] { return (*this)[at].member(to)->edge == edge; });
  }

  Cables cables_;
  int suspicion_multiplier_ = swim::Settings{}.suspicion_multiplier;
  std::vector<std::string> seeds_;
  std::map<std::string, std::unique_ptr<Node>> nodes_;
};

TEST_F(LivenessTest, AMemberThatOthersReachLivesThoughItsEdgeHereIsBroken) {
  Add({"a", "b", "c"});
  CutPair("a", "b");
  ASSERT_TRUE(EdgeBecomes("a", "b", EdgeState::kSilent));
  ASSERT_TRUE(EdgeBecomes("a", "b", EdgeState::kBroken));
  ASSERT_TRUE(EdgeBecomes("b", "a", EdgeState::kBroken));
  const auto give_up = Impatient(TestOptions("a")).timing.give_up.count();
  EXPECT_THAT(
      (*this)["a"].member("b")->last_error,
      HasSubstr("nothing heard for " + std::to_string(give_up) + " ms"));
  // Longer than a suspicion lasts.
  std::this_thread::sleep_for(seconds(2));
  for (const auto& [at, of] : {std::pair{"a", "b"}, {"b", "a"}, {"c", "a"}}) {
    EXPECT_EQ((*this)[at].member(of)->state, MemberState::kAlive);
    EXPECT_THAT((*this)[at].states_of(of), Not(Contains(MemberState::kFailed)));
  }
  EXPECT_FALSE((*this)["a"].member("b")->reachable());
  cables_.Heal();
  EXPECT_TRUE(AllMeet());
}

TEST_F(LivenessTest, PartsThatWereCutForLongFindTogetherWithoutARestart) {
  Add({"a", "b", "c", "d", "e", "f"});
  cables_.Cut([](const std::string& one, const std::string& other) {
    return (one < "d") != (other < "d");
  });
  for (const char* near : {"a", "b", "c"})
    for (const char* far : {"d", "e", "f"}) {
      EXPECT_TRUE((*this)[near].Sees(far, MemberState::kFailed));
      EXPECT_TRUE((*this)[far].Sees(near, MemberState::kFailed));
    }
  // Each part is whole in itself.
  EXPECT_TRUE((*this)["b"].Meets("c"));
  EXPECT_TRUE((*this)["e"].Meets("f"));
  std::this_thread::sleep_for(seconds(2));
  const auto incarnation = (*this)["a"].member("f")->incarnation;
  cables_.Heal();
  EXPECT_TRUE(AllMeet());
  EXPECT_EQ((*this)["a"].member("f")->incarnation, incarnation);
}

TEST_F(LivenessTest, IntentIsKnownToThoseThatHadNoSessionWithTheLeaver) {
  suspicion_multiplier_ = 500;  // Busy for long is not failed.
  Add({"a", "b", "c"});
  CutPair("a", "b");
  ASSERT_TRUE(EdgeBecomes("a", "b", EdgeState::kBroken));
  (*this)["b"].Leave();
  EXPECT_TRUE((*this)["a"].Sees("b", MemberState::kLeft));
  EXPECT_EQ((*this)["a"].member("b")->said_by, "b");
  EXPECT_THAT((*this)["a"].states_of("b"), Not(Contains(MemberState::kFailed)));
}

TEST_F(LivenessTest, ANameThatComesBackWhileItsOldSelfIsSuspectedIsTheNewOne) {
  auto options = Impatient(TestOptions("a"));
  options.timing.swim.suspicion_multiplier = 500;  // It stays suspected.
  Node a(options);
  options.node = "c";
  options.peers = {a.address()};
  Node c(options);
  std::uint64_t old = 0;
  {
    options.node = "b";
    Node b(options);
    ASSERT_TRUE(a.Meets("b"));
    ASSERT_TRUE(c.Meets("b"));
    old = a.member("b")->incarnation;
  }
  ASSERT_TRUE(a.Sees("b", MemberState::kSuspect));
  Node b(options);  // On another port.
  for (Node* node : {&a, &c})
    EXPECT_TRUE(Node::Eventually([&] {
      const auto found = node->member("b");
      return found->reachable() && found->incarnation != old &&
             found->address == b.address();
    }));
  EXPECT_THAT(a.states_of("b"), Not(Contains(MemberState::kFailed)));
}

TEST_F(LivenessTest, OneThatLeftReturnsUnderAnotherAddress) {
  Node a(Impatient(TestOptions("a")));
  Node c(Impatient(TestOptions("c", {a.address()})));
  const auto options = Impatient(TestOptions("b", {a.address()}));
  std::string left;
  {
    Node b(options);
    ASSERT_TRUE(a.Meets("b"));
    ASSERT_TRUE(c.Meets("b"));
    left = b.address();
    b.Leave();
    ASSERT_TRUE(a.Sees("b", MemberState::kLeft));
    ASSERT_TRUE(c.Sees("b", MemberState::kLeft));
  }
  Node b(options);
  ASSERT_NE(b.address(), left);
  for (Node* node : {&a, &c}) {
    EXPECT_TRUE(node->Meets("b"));
    EXPECT_EQ(node->member("b")->address, b.address());
    EXPECT_EQ(node->members().size(), 2U) << "the old address is forgotten";
  }
}

// A dialler may leave between its last word of the handshake and its first
// heartbeat, so that no gossip of it says so.
TEST_F(LivenessTest, AFarewellWithoutGossipIsBelieved) {
  auto options = Impatient(TestOptions("a"));
  options.timing.swim.suspicion_multiplier = 500;  // Gone is not failed.
  Node a(options);
  Impostor b(a, "b", TestOptions("b"));
  b.control().Send(Leave{});
  EXPECT_TRUE(a.Sees("b", MemberState::kLeft));
  EXPECT_EQ(a.member("b")->said_by, "b");
}

TEST_F(LivenessTest, ForceLeaveIsForThoseThatAreGone) {
  auto options = Impatient(TestOptions("a"));
  options.timing.swim.suspicion_multiplier = 500;
  Node a(options);
  options.node = "c";
  options.peers = {a.address()};
  Node c(options);
  const auto force = [&a](const std::string& node) {
    return a.Run([&] { return a.transport().ForceLeave(node); });
  };
  {
    options.node = "b";
    Node b(options);
    ASSERT_TRUE(a.Meets("b"));
    ASSERT_TRUE(c.Meets("b"));
    EXPECT_EQ(force("b"), ForceLeaveOutcome::kAlive);
  }
  EXPECT_EQ(force("a"), ForceLeaveOutcome::kAlive) << "itself";
  EXPECT_EQ(force("nobody"), ForceLeaveOutcome::kUnknown);
  ASSERT_TRUE(a.Sees("b", MemberState::kSuspect));
  EXPECT_EQ(force("b"), ForceLeaveOutcome::kDone);
  EXPECT_EQ(force("b"), ForceLeaveOutcome::kDone) << "it is what was wanted";
  EXPECT_TRUE(c.Sees("b", MemberState::kLeft));
  EXPECT_EQ(c.member("b")->said_by, "a");
}

TEST_F(LivenessTest, ASeedAddedWhileRunningIsDialledUntilItIsThere) {
  Node a(TestOptions("a"));
  auto options = TestOptions("b");
  {
    const Node free(TestOptions("x"));
    options.listen = const_cast<Node&>(free).address();
  }
  const auto join = [&a](const std::string& address) {
    return a.Run([&] { return a.transport().Join(address); });
  };
  EXPECT_TRUE(join(options.listen));
  EXPECT_TRUE(join(a.address())) << "itself: nothing to do";
  ASSERT_TRUE(Node::Eventually([&] {
    const auto members = a.members();
    return members.size() == 1 &&
           members[0].last_error.find("refused") != std::string::npos;
  }));
  Node b(options);
  EXPECT_TRUE(a.Meets("b"));
}

// The same list of peers, started in any order, is one cluster.
TEST_F(LivenessTest, EveryOrderOfStartingMakesOneCluster) {
  std::mt19937 random(20261125);
  const std::vector<std::string> names = {"a", "b", "c", "d", "e"};
  for (int round = 0; round < 10; ++round) {
    Cables cables;
    std::map<std::string, Options> options;
    std::vector<std::string> peers;
    for (const auto& name : names) {
      options[name] = TestOptions(name);
      options[name].wire = WireKind::kUcx;
      options[name].advertise = cables.Gate(name);
      peers.push_back(options[name].advertise);
    }
    auto order = names;
    std::shuffle(order.begin(), order.end(), random);
    std::map<std::string, std::unique_ptr<Node>> nodes;
    for (const auto& name : order) {
      options[name].peers = peers;
      nodes[name] = std::make_unique<Node>(options[name]);
      cables.Lead(name, nodes[name]->address());
    }
    for (auto& [name, node] : nodes) {
      for (const auto& other : names) {
        if (other == name) continue;
        EXPECT_TRUE(node->Meets(other)) << name << " meets " << other;
        EXPECT_EQ(node->states_of(other), std::vector{MemberState::kAlive})
            << name << " of " << other << " in round " << round;
      }
      EXPECT_EQ(node->members().size(), names.size() - 1);
    }
  }
}

// How long until a dead or frozen neighbour is out of the ring.
milliseconds UntilUnreachable(Node& at, const std::string& node,
                              Clock::time_point since) {
  EXPECT_TRUE(Node::Eventually([&] { return !at.member(node)->reachable(); }));
  return std::chrono::duration_cast<milliseconds>(Clock::now() - since);
}

TEST_F(LivenessTest, AKilledOrFrozenMemberIsPassedOverWithinTwoProbePeriods) {
  auto options = TestOptions("a");
  options.timing.silent_after = milliseconds(500);
  options.timing.give_up = milliseconds(1500);
  options.timing.swim.probe_interval = milliseconds(500);
  options.timing.swim.probe_timeout = milliseconds(250);
  Node a(options);
  options.node = "c";
  options.peers = {a.address()};
  Node c(options);
  for (const int signal : {SIGKILL, SIGSTOP}) {
    PeerProcess b("b", 4096, {a.address()});
    ASSERT_TRUE(a.Meets("b"));
    ASSERT_TRUE(c.Meets("b"));
    const auto start = Clock::now();
    b.Signal(signal);
    const auto took = UntilUnreachable(a, "b", start);
    EXPECT_LT(took, 2 * options.timing.swim.probe_interval);
    RecordProperty(signal == SIGKILL ? "killed_ms" : "frozen_ms",
                   static_cast<int>(took.count()));
    EXPECT_TRUE(a.Sees("b", MemberState::kFailed));
    EXPECT_EQ(a.member("c")->state, MemberState::kAlive);
  }
}

TEST_F(LivenessTest, AProcessThatWasPausedAccusesNobody) {
  Node a(Impatient(TestOptions("a")));
  Node c(Impatient(TestOptions("c", {a.address()})));
  PeerProcess b("b", 4096, {a.address()}, "impatient");
  ASSERT_TRUE(a.Meets("b"));
  ASSERT_TRUE(c.Meets("b"));
  b.Signal(SIGSTOP);
  ASSERT_TRUE(a.Sees("b", MemberState::kFailed));
  std::this_thread::sleep_for(seconds(2));
  b.Signal(SIGCONT);
  ASSERT_TRUE(a.Meets("b"));
  ASSERT_TRUE(c.Meets("b"));
  // Nobody has heard it accuse the others.
  EXPECT_EQ(a.states_of("c"), std::vector{MemberState::kAlive});
  EXPECT_EQ(c.states_of("a"), std::vector{MemberState::kAlive});
}

TEST_F(LivenessTest, AMemberThatAccusesAgainAndAgainHarmsNobody) {
  Node a(TestOptions("a"));
  Node b(TestOptions("b", {a.address()}));
  ASSERT_TRUE(a.Meets("b"));
  ASSERT_TRUE(b.Meets("a"));
  const auto lie = [&](const std::string& node, const std::string& address,
                       std::uint32_t incarnation) {
    return swim::Record{.node = node,
                        .address = address,
                        .life = swim::kMaxLife - 2,
                        .incarnation = incarnation,
                        .state = swim::State::kFailed,
                        .said_by = "x"};
  };
  Impostor liar(a, "x", TestOptions("x"));
  for (std::uint32_t i = 0; i < 100; ++i)
    liar.control().Send(swim::Message{
        .kind = swim::Message::Kind::kPing,
        .probe = i,
        .target = {},
        .updates = {lie("a", a.address(), i), lie("b", b.address(), i)}});
  ASSERT_TRUE(liar.control().ReadUntil<swim::Message>()) << "it is answered";
  EXPECT_TRUE(a.Meets("b"));
  EXPECT_TRUE(b.Meets("a"));
  EXPECT_TRUE(a.Ask("b", 1));
}

TEST_F(LivenessTest, TheGossipOfAMemberFillsNoMemory) {
  Node a(TestOptions("a"));
  Impostor liar(a, "x", TestOptions("x"));
  for (int i = 0; i < 4000;) {
    Heartbeat heartbeat;
    for (std::size_t k = 0; k < kMaxUpdates; ++k, ++i)
      heartbeat.updates.push_back({.node = "n" + std::to_string(i),
                                   .address = "127.0.0.1:9",
                                   .life = 1,
                                   .incarnation = 0,
                                   .state = swim::State::kAlive,
                                   .said_by = "x"});
    ASSERT_TRUE(liar.control().Send(heartbeat));
  }
  ASSERT_TRUE(Node::Eventually([&] { return a.members().size() >= 1024; }));
  EXPECT_LE(a.members().size(), 1024U + 1U);
  EXPECT_EQ(a.member("x")->edge, EdgeState::kConnected);
}

}  // namespace
}  // namespace hearsay::transport
