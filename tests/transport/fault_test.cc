// Peers in processes of their own that die, freeze and come back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/transport/node.h"
#include "tests/transport/peer_process.h"

namespace hearsay::transport {
namespace {

using testing::Contains;
using testing::Not;

constexpr std::size_t kBytes = std::size_t{16} << 20;

std::size_t OpenFiles() {
  const auto files = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

TEST(FaultTest, APeerKilledMidExchangeCostsOneExchangeAndNoBuffer) {
  Node a(Impatient(TestOptions("a", {}, kBytes)));
  for (int round = 0; round < 4; ++round) {
    PeerProcess b("b", kBytes, {a.address()});
    ASSERT_TRUE(a.Meets("b"));
    std::thread killer([&] {
      // At another moment of the exchange each time.
      std::this_thread::sleep_for(std::chrono::milliseconds(3 + 11 * round));
      b.Kill();
    });
    const auto start = Clock::now();
    Result<Message> answer = Error{ErrorCode::kClosed, ""};
    do {
      answer = a.Ask("b", 1, true, Milliseconds(3000));
    } while (answer.has_value());
    killer.join();
    EXPECT_THAT(answer.error().code,
                testing::AnyOf(ErrorCode::kPeerGone, ErrorCode::kTimeout));
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
    EXPECT_TRUE(a.Sees("b", MemberState::kFailed));
    answer = Error{ErrorCode::kClosed, ""};
    EXPECT_TRUE(Node::Eventually([&] { return a.pool()->taken() == 0; }))
        << "buffers held: " << a.pool()->taken();
  }
}

TEST(FaultTest, ANodeKilledAndRestartedExchangesAgain) {
  Node a(Impatient(TestOptions("a")));
  for (int round = 0; round < 3; ++round) {
    PeerProcess b("b", 4096, {a.address()});
    ASSERT_TRUE(a.Meets("b"));
    const auto answer = a.Ask("b", 1);
    ASSERT_TRUE(answer) << answer.error().detail;
    EXPECT_TRUE(HasPattern(answer->payload, 2));
    b.Kill();
    EXPECT_TRUE(a.Sees("b", MemberState::kFailed));
  }
}

TEST(FaultTest, AFrozenPeerIsSuspectedThenFailedAndComesBack) {
  Node a(Impatient(TestOptions("a", {}, kBytes)));
  PeerProcess b("b", kBytes, {a.address()});
  ASSERT_TRUE(a.Meets("b"));
  const auto incarnation = a.member("b")->incarnation;
  ASSERT_TRUE(a.Ask("b", 1));
  b.Signal(SIGSTOP);
  const auto start = Clock::now();
  // Longer than it takes to fail, so that the failure detector decides.
  const auto answer = a.Ask("b", 3, true, Milliseconds(10000));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kPeerGone);
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(8));
  EXPECT_TRUE(a.Sees("b", MemberState::kFailed));
  EXPECT_THAT(a.states_of("b"), Contains(MemberState::kSuspect));
  EXPECT_TRUE(Node::Eventually([&] { return a.pool()->taken() == 0; }))
      << "buffers held: " << a.pool()->taken();
  b.Signal(SIGCONT);
  ASSERT_TRUE(a.Meets("b"));
  EXPECT_EQ(a.member("b")->incarnation, incarnation);
  EXPECT_TRUE(Node::Eventually([&] { return a.Ask("b", 5).has_value(); }));
}

TEST(FaultTest, AShortPauseOfAPeerIsForgiven) {
  auto options = Impatient(TestOptions("a"));
  options.timing.give_up = Milliseconds(10000);
  options.timing.swim.suspicion_multiplier = 100;
  Node a(options);
  PeerProcess b("b", 4096, {a.address()});
  ASSERT_TRUE(a.Meets("b"));
  b.Signal(SIGSTOP);
  ASSERT_TRUE(a.Sees("b", MemberState::kSuspect));
  b.Signal(SIGCONT);
  ASSERT_TRUE(a.Meets("b"));
  EXPECT_TRUE(a.Ask("b", 1));
  EXPECT_THAT(a.states_of("b"), Not(Contains(MemberState::kFailed)));
}

TEST(FaultTest, ADeadlineShorterThanTheDetectorIsATimeout) {
  Node a(TestOptions("a", {}, kBytes));
  PeerProcess b("b", kBytes, {a.address()});
  ASSERT_TRUE(a.Meets("b"));
  b.Signal(SIGSTOP);
  const auto answer = a.Ask("b", 1, true, Milliseconds(100));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kTimeout);
  b.Kill();
  EXPECT_TRUE(Node::Eventually([&] { return a.pool()->taken() == 0; }));
}

TEST(FaultTest, APeerThatLeavesExitsCleanly) {
  Node a(TestOptions("a"));
  PeerProcess b("b", 4096, {a.address()});
  ASSERT_TRUE(a.Meets("b"));
  EXPECT_EQ(b.Leave(), 0);
  EXPECT_TRUE(a.Sees("b", MemberState::kLeft));
}

TEST(FaultTest, TwoHundredMeetingsLeakNeitherFilesNorBuffers) {
  Node a(TestOptions("a"));
  std::size_t files = 0;
  for (int round = 0; round < 200; ++round) {
    {
      Node b(TestOptions("b", {a.address()}));
      ASSERT_TRUE(b.Meets("a"));
      ASSERT_TRUE(b.Ask("a", 1)) << round;
      if (round % 2 == 0) b.Leave();
    }
    if (round == 20) files = OpenFiles();
  }
  EXPECT_TRUE(Node::Eventually([&] { return a.pool()->taken() == 0; }));
  EXPECT_TRUE(Node::Eventually([&] { return OpenFiles() <= files + 4; }))
      << files << " files after 20 rounds, now " << OpenFiles();
  EXPECT_EQ(a.members().size(), 1U);
}

}  // namespace
}  // namespace hearsay::transport
