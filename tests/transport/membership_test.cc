// Who meets whom, who is refused and why, who left and who failed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <system_error>

#include "tests/transport/node.h"

namespace hearsay::transport {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// An address that was free a moment ago; the system goes round its ports, so
// it gives this one to nobody soon.
std::string FreeAddress() {
  boost::asio::io_context io;
  const boost::asio::ip::tcp::acceptor acceptor(
      io, {boost::asio::ip::make_address("127.0.0.1"), 0});
  return "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
}

bool Meet(Node& one, const std::string& other) { return one.Meets(other); }

void ExpectAnswer(Node& from, const std::string& to, std::uint64_t version) {
  const auto answer = from.Ask(to, version);
  ASSERT_TRUE(answer) << answer.error().detail;
}

TEST(MembershipTest, SeedsSufficeForAllToMeet) {
  Node a(TestOptions("a"));
  Node b(TestOptions("b", {a.address()}));
  Node c(TestOptions("c", {a.address()}));
  EXPECT_TRUE(Meet(b, "c"));
  EXPECT_TRUE(Meet(c, "b"));
  const auto answer = b.Ask("c", 1);
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_TRUE(HasPattern(answer->payload, 2));
}

TEST(MembershipTest, AChainOfSeedsConnectsEveryPair) {
  std::vector<std::unique_ptr<Node>> nodes;
  std::string seed;
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) {
    nodes.push_back(std::make_unique<Node>(
        TestOptions(name, seed.empty() ? std::vector<std::string>{}
                                       : std::vector<std::string>{seed})));
    seed = nodes.back()->address();
  }
  for (auto& node : nodes)
    EXPECT_TRUE(Node::Eventually([&] {
      const auto members = node->members();
      return members.size() == 5 &&
             std::all_of(members.begin(), members.end(),
                         [](const Member& m) { return m.reachable(); });
    }));
}

TEST(MembershipTest, ASeedThatStartsLaterIsFound) {
  const std::string address = FreeAddress();
  Node b(TestOptions("b", {address}));
  ASSERT_TRUE(Node::Eventually([&] {
    const auto members = b.members();
    return members.size() == 1 && !members[0].last_error.empty();
  }));
  EXPECT_EQ(b.members()[0].node, "");
  EXPECT_EQ(b.members()[0].state, MemberState::kFailed);
  EXPECT_THAT(b.members()[0].last_error, HasSubstr(address));
  auto options = TestOptions("a");
  options.listen = address;
  Node a(options);
  EXPECT_TRUE(Meet(b, "a"));
  EXPECT_EQ(b.members().size(), 1U);
}

TEST(MembershipTest, SimultaneousDiallingLeavesOneSession) {
  const std::string first = FreeAddress();
  const std::string second = FreeAddress();
  for (int round = 0; round < 10; ++round) {
    auto a_options = TestOptions("a", {second});
    auto b_options = TestOptions("b", {first});
    a_options.listen = first;
    b_options.listen = second;
    Node a(a_options, Node::AnswerNext, /*start=*/false);
    Node b(b_options, Node::AnswerNext, /*start=*/false);
    std::thread other([&] { a.Run([&] { a.transport().Start(); }); });
    b.Run([&] { b.transport().Start(); });
    other.join();
    ASSERT_TRUE(Meet(a, "b"));
    ASSERT_TRUE(Meet(b, "a"));
    // Whatever connections there were on the way, nobody was ever lost.
    for (std::uint64_t version = 0; version < 50; ++version) {
      ExpectAnswer(a, "b", version);
      ExpectAnswer(b, "a", version);
    }
    EXPECT_EQ(a.states_of("b"), std::vector{MemberState::kAlive});
    EXPECT_EQ(b.states_of("a"), std::vector{MemberState::kAlive});
    EXPECT_EQ(a.members().size(), 1U);
    EXPECT_EQ(b.members().size(), 1U);
  }
}

TEST(MembershipTest, TwoAddressesOfOneNodeAreOneMember) {
  Node a(TestOptions("a"));
  const std::string port = a.address().substr(a.address().rfind(':'));
  Node b(TestOptions("b", {"localhost" + port, a.address()}));
  ASSERT_TRUE(Meet(b, "a"));
  for (std::uint64_t version = 0; version < 50; ++version)
    ExpectAnswer(b, "a", version);
  // The second address is listed until somebody answers there.
  EXPECT_TRUE(Node::Eventually([&] { return b.members().size() == 1; }));
  EXPECT_THAT(b.states_of("a"), Not(Contains(MemberState::kFailed)));
}

TEST(MembershipTest, ADialThatReachesOneselfIsDroppedQuietly) {
  const std::string address = FreeAddress();
  auto options = TestOptions("a");
  options.listen = address;
  options.peers = {"localhost" + address.substr(address.rfind(':')), address};
  Node a(options);
  EXPECT_TRUE(Node::Eventually([&] { return a.members().empty(); }));
  Node b(TestOptions("b", {address}));
  EXPECT_TRUE(Meet(a, "b"));
  EXPECT_EQ(a.members().size(), 1U);
  EXPECT_TRUE(a.refusals().empty());
}

TEST(MembershipTest, TheFirstReportOfASessionIsTheOneMadeForIt) {
  Node a(TestOptions("a"));
  for (int life = 0; life < 3; ++life) {
    a.Run([&] { a.transport().SetReport("made before"); });
    Node b(TestOptions("b", {a.address()}));
    ASSERT_TRUE(Node::Eventually([&] { return !b.reports().empty(); }));
    EXPECT_EQ(b.reports()[0].second, "to b");
  }
}

TEST(MembershipTest, LeavingIsToldApartFromFailing) {
  Node a(Impatient(TestOptions("a")));
  Node c(Impatient(TestOptions("c", {a.address()})));
  {
    Node b(TestOptions("b", {a.address()}));
    ASSERT_TRUE(Meet(a, "b"));
    ASSERT_TRUE(Meet(c, "b"));
    b.Leave();
    EXPECT_TRUE(a.Sees("b", MemberState::kLeft));
    EXPECT_TRUE(c.Sees("b", MemberState::kLeft));
  }
  {
    Node b(TestOptions("b", {a.address()}));
    ASSERT_TRUE(Meet(a, "b"));
    ASSERT_TRUE(Meet(c, "b"));
  }  // Destroyed without a word.
  EXPECT_TRUE(a.Sees("b", MemberState::kFailed));
  EXPECT_TRUE(c.Sees("b", MemberState::kFailed));
  EXPECT_FALSE(a.member("b")->last_error.empty());
}

TEST(MembershipTest, ARestartedNodeIsAnIncarnationOfTheSameMember) {
  Node a(TestOptions("a"));
  std::uint64_t first = 0;
  {
    Node b(TestOptions("b", {a.address()}));
    ASSERT_TRUE(Meet(a, "b"));
    first = a.member("b")->incarnation;
  }
  Node b(TestOptions("b", {a.address()}));  // On another port.
  ASSERT_TRUE(Node::Eventually([&] {
    const auto member = a.member("b");
    return member->state == MemberState::kAlive && member->incarnation != first;
  }));
  ASSERT_TRUE(Meet(b, "a"));
  EXPECT_TRUE(a.Ask("b", 1));
  EXPECT_TRUE(b.Ask("a", 1));
  EXPECT_EQ(a.members().size(), 1U);
}

// Both sides show both values, as a member and as a line; then they retry.
void ExpectRefused(const Options& a_options, Options b_options,
                   const std::string& a_value, const std::string& b_value,
                   RefusalKind kind) {
  Node a(a_options);
  b_options.peers = {a.address()};
  Node b(b_options);
  const auto both = AllOf(HasSubstr(a_value), HasSubstr(b_value));
  ASSERT_TRUE(b.Sees(a_options.node, MemberState::kRefused));
  EXPECT_THAT(b.member(a_options.node)->last_error, both);
  EXPECT_THAT(b.member(a_options.node)->last_error, HasSubstr(a.address()));
  ASSERT_TRUE(Node::Eventually([&] {
    const auto members = a.members();
    return members.size() == 1 && members[0].state == MemberState::kRefused;
  }));
  EXPECT_THAT(a.members()[0].last_error, both);
  EXPECT_THAT(a.members()[0].last_error, HasSubstr(b.address()));
  ASSERT_TRUE(Node::Eventually([&] { return !b.refusals().empty(); }));
  EXPECT_THAT(b.refusals()[0].first, both);
  EXPECT_EQ(b.refusals()[0].second, kind);
  EXPECT_THAT(b.states_of(a_options.node),
              testing::ElementsAre(MemberState::kRefused));
  EXPECT_FALSE(b.Ask(a_options.node, 1, true, Milliseconds(50)));
}

TEST(RefusalTest, OfAnotherClusterNamesBoth) {
  auto other = TestOptions("b");
  other.cluster = "adult";
  ExpectRefused(TestOptions("a"), other, "'test'", "'adult'",
                RefusalKind::kCluster);
}

TEST(RefusalTest, OfAnotherModelNamesBoth) {
  auto other = TestOptions("b");
  other.model_fingerprint = "91bc";
  ExpectRefused(TestOptions("a"), other, "3fa2", "91bc", RefusalKind::kModel);
}

TEST(RefusalTest, OfAnotherArraySizeNamesBoth) {
  ExpectRefused(TestOptions("a"), TestOptions("b", {}, 4100), "4096 bytes",
                "4100 bytes", RefusalKind::kModel);
}

TEST(RefusalTest, IsNotForEver) {
  Node a(TestOptions("a"));
  auto options = TestOptions("b", {a.address()});
  options.model_fingerprint = "91bc";
  {
    Node b(options);
    ASSERT_TRUE(a.Sees("b", MemberState::kRefused));
  }
  options.model_fingerprint = "3fa2";
  Node b(options);
  EXPECT_TRUE(Meet(a, "b"));
  EXPECT_TRUE(Meet(b, "a"));
}

TEST(RefusalTest, TheNewcomerOfTwoNodesWithOneNameHearsIt) {
  Node old(TestOptions("a"));
  Node b(TestOptions("b", {old.address()}));
  ASSERT_TRUE(Meet(b, "a"));
  const auto incarnation = b.member("a")->incarnation;
  Node newcomer(TestOptions("a", {b.address()}));
  ASSERT_TRUE(Node::Eventually([&] { return !newcomer.refusals().empty(); }));
  const auto [reason, kind] = newcomer.refusals()[0];
  EXPECT_EQ(kind, RefusalKind::kDuplicateName);
  EXPECT_THAT(reason, AllOf(HasSubstr("two nodes named 'a'"),
                            HasSubstr("this one at " + newcomer.address()),
                            HasSubstr("that one at " + old.address())));
  EXPECT_TRUE(newcomer.Sees("b", MemberState::kRefused));
  // The others go on with the old one, and say who was refused.
  EXPECT_EQ(b.member("a")->incarnation, incarnation);
  EXPECT_EQ(b.states_of("a")[0], MemberState::kAlive);
  EXPECT_TRUE(b.Ask("a", 1));
  EXPECT_TRUE(old.refusals().empty());
  EXPECT_THAT(b.members().at(1).last_error, HasSubstr(newcomer.address()));
}

TEST(RefusalTest, OfTwoNodesWithOneNameThatMeetTheNewcomerHearsIt) {
  for (const bool newcomer_dials : {true, false}) {
    const std::string address = FreeAddress();
    auto old_options = TestOptions("a");
    if (!newcomer_dials) old_options.peers = {address};
    Node old(old_options);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // Its age.
    auto options = TestOptions("a");
    options.listen = address;
    if (newcomer_dials) options.peers = {old.address()};
    Node newcomer(options);
    ASSERT_TRUE(Node::Eventually([&] { return !newcomer.refusals().empty(); }));
    EXPECT_THAT(newcomer.refusals()[0].first,
                AllOf(HasSubstr("two nodes named 'a'"),
                      HasSubstr("this one at " + newcomer.address()),
                      HasSubstr("that one at " + old.address())));
    // The old one hears of it by itself, perhaps a moment later.
    EXPECT_TRUE(Node::Eventually(
        [&] { return old.members().at(0).state == MemberState::kRefused; }));
    EXPECT_TRUE(old.refusals().empty());
  }
}

TEST(OptionsTest, APortInUseIsNamed) {
  Node a(TestOptions("a"));
  auto options = TestOptions("b");
  options.listen = a.address();
  try {
    Node b(options);
    FAIL() << "bound twice";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::address_in_use);
    EXPECT_THAT(error.what(), HasSubstr(a.address()));
  }
}

TEST(OptionsTest, AnAddressOfAnotherMachineIsNamed) {
  auto options = TestOptions("a");
  options.listen = "192.0.2.1:0";
  try {
    Node a(options);
    FAIL() << "bound to an address of the documentation";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::address_not_available);
    EXPECT_THAT(error.what(), HasSubstr("192.0.2.1:0"));
  }
}

TEST(OptionsTest, ThoseThatCannotWorkAreRejected) {
  const auto rejected = [](const std::function<void(Options&)>& change) {
    auto options = TestOptions("a");
    change(options);
    try {
      Node a(options);
    } catch (const std::invalid_argument&) {
      return true;
    }
    return false;
  };
  EXPECT_TRUE(rejected([](Options& o) { o.node = ""; }));
  EXPECT_TRUE(rejected([](Options& o) { o.node = "two words"; }));
  EXPECT_TRUE(rejected([](Options& o) { o.cluster = ""; }));
  EXPECT_TRUE(rejected([](Options& o) { o.model_fingerprint = "\n"; }));
  EXPECT_TRUE(rejected([](Options& o) { o.array_bytes = 0; }));
  EXPECT_TRUE(rejected([](Options& o) { o.chunk_bytes = 0; }));
  EXPECT_TRUE(rejected([](Options& o) { o.chunk_bytes = 65UL << 20; }));
  EXPECT_TRUE(rejected([](Options& o) { o.listen = "7400"; }));
  EXPECT_TRUE(rejected([](Options& o) { o.advertise = "7400"; }));
  EXPECT_TRUE(rejected([](Options& o) { o.listen = "0.0.0.0:0"; }));
}

TEST(OptionsTest, OthersAreToldTheAdvertisedAddressWithThePortInUse) {
  auto options = TestOptions("a");
  options.listen = "0.0.0.0:0";
  options.advertise = "localhost:0";
  Node a(options);
  const std::string port = a.address().substr(a.address().rfind(':'));
  EXPECT_NE(port, ":0");
  Node b(TestOptions("b", {"127.0.0.1" + port}));
  ASSERT_TRUE(Meet(b, "a"));
  EXPECT_EQ(b.member("a")->address, "localhost" + port);
}

}  // namespace
}  // namespace hearsay::transport
