// Exchanges over real UCX on loopback.
#include <gtest/gtest.h>

#include "tests/transport/node.h"

namespace hearsay::transport {
namespace {

constexpr std::size_t kChunk = std::size_t{512} << 10;

class ExchangeSizeTest : public testing::TestWithParam<std::size_t> {};

TEST_P(ExchangeSizeTest, DeliversWholeArraysBothWaysWithTheirVersions) {
  Node a(TestOptions("a", {}, GetParam()));
  Node b(TestOptions("b", {a.address()}, GetParam()));
  ASSERT_TRUE(b.Sees("a", MemberState::kAlive));
  ASSERT_TRUE(a.Sees("b", MemberState::kAlive));
  for (std::uint64_t version : {7U, 8U, 9U}) {
    auto answer = b.Ask("a", version);
    ASSERT_TRUE(answer) << answer.error().detail;
    EXPECT_EQ(answer->version, version + 1);
    ASSERT_TRUE(answer->payload);
    EXPECT_EQ(answer->payload->size(), GetParam());
    EXPECT_TRUE(HasPattern(answer->payload, version + 1));
  }
  auto answer = a.Ask("b", 20);
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_TRUE(HasPattern(answer->payload, 21));
  EXPECT_EQ(a.counters("b").bytes_in, 4 * GetParam());
  EXPECT_EQ(a.counters("b").bytes_out, 4 * GetParam());
}

INSTANTIATE_TEST_SUITE_P(Sizes, ExchangeSizeTest,
                         testing::Values(4, kChunk - 1, kChunk, kChunk + 1,
                                         5 * kChunk, 64 * kChunk));

// Two nodes that know each other.
class PairTest : public testing::Test {
 protected:
  explicit PairTest(std::size_t array_bytes = 4096,
                    Node::Handler handler = Node::AnswerNext)
      : a_(TestOptions("a", {}, array_bytes), std::move(handler)),
        b_(TestOptions("b", {a_.address()}, array_bytes)) {}
  void SetUp() override {
    ASSERT_TRUE(b_.Sees("a", MemberState::kAlive));
    ASSERT_TRUE(a_.Sees("b", MemberState::kAlive));
  }
  static bool PoolIsFull(Node& node) {
    return Node::Eventually([&] { return node.pool()->taken() == 0; });
  }

  Node a_;
  Node b_;
};

TEST_F(PairTest, AnEmptyRequestIsAnsweredWithAnArray) {
  auto answer = b_.Ask("a", 30, /*payload=*/false);
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_EQ(answer->version, 31U);
  EXPECT_TRUE(HasPattern(answer->payload, 31));
}

TEST_F(PairTest, BothSidesAskAtTheSameTimeManyTimes) {
  const auto ask = [](Node& from, const std::string& to, int& good) {
    for (std::uint64_t version = 0; version < 200; ++version) {
      const auto answer = from.Ask(to, version);
      if (answer && HasPattern(answer->payload, version + 1)) ++good;
    }
  };
  int good_a = 0;
  int good_b = 0;
  std::thread other([&] { ask(a_, "b", good_a); });
  ask(b_, "a", good_b);
  other.join();
  EXPECT_EQ(good_a, 200);
  EXPECT_EQ(good_b, 200);
  EXPECT_TRUE(PoolIsFull(a_));
  EXPECT_TRUE(PoolIsFull(b_));
  const auto counters = a_.counters("b");
  EXPECT_EQ(counters.requests_out, 200U);
  EXPECT_EQ(counters.answers_in, 200U);
  EXPECT_EQ(counters.requests_in, 200U);
  EXPECT_EQ(counters.answers_out, 200U);
  EXPECT_EQ(counters.timeouts, 0U);
  EXPECT_EQ(counters.dropped_checksum + counters.dropped_late +
                counters.dropped_size + counters.dropped_full,
            0U);
}

TEST_F(PairTest, ExchangesStartedAtOnceAreAllAnswered) {
  for (int round = 0; round < 20; ++round) {
    std::vector<std::future<Result<Message>>> answers;
    for (std::uint64_t version = 0; version < 4; ++version)
      answers.push_back(std::async(std::launch::async, [this, version] {
        return b_.Ask("a", version, /*payload=*/version % 2 == 0);
      }));
    for (auto& answer : answers) EXPECT_TRUE(answer.get());
  }
  EXPECT_EQ(a_.counters("b").dropped_late, 0U);
}

// The answers of a round are sent, and the next one is here, before the thread
// that answers has come round to letting go of what it sent.
TEST(BusyAnswererTest, ItsArraysSufficeForRoundAfterRound) {
  Node a(TestOptions("a"), [](Node& node, const std::string& from,
                              Message request, Respond respond) {
    Node::AnswerNext(node, from, std::move(request), std::move(respond));
    std::this_thread::sleep_for(Milliseconds(10));
  });
  Node b(TestOptions("b", {a.address()}));
  ASSERT_TRUE(b.Meets("a"));
  for (int round = 0; round < 4; ++round) {
    std::vector<std::future<Result<Message>>> answers;
    for (std::uint64_t version = 0; version < 4; ++version)
      answers.push_back(std::async(std::launch::async, [&b, version] {
        return b.Ask("a", version, /*payload=*/true, Milliseconds(2000));
      }));
    for (auto& answer : answers) EXPECT_TRUE(answer.get());
  }
}

TEST(LossTest, WhatIsLostOnTheWayIsATimeoutAndNobodyIsTold) {
  for (const bool request : {true, false}) {
    auto at_a = TestOptions("a");
    at_a.added_loss = request ? 0 : 1;
    Node a(at_a);
    auto at_b = TestOptions("b", {a.address()});
    at_b.added_loss = request ? 1 : 0;
    Node b(at_b);
    ASSERT_TRUE(b.Meets("a"));
    const auto answer =
        b.Ask("a", 1, /*payload=*/true, /*deadline=*/Milliseconds(200));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::kTimeout);
    EXPECT_EQ(a.counters("b").requests_in, request ? 0U : 1U);
    EXPECT_EQ(a.counters("b").answers_out, 0U);
    EXPECT_TRUE(a.lost_answers().empty());
    for (Node* node : {&a, &b})
      EXPECT_TRUE(Node::Eventually([&] { return node->pool()->taken() == 0; }));
  }
}

TEST_F(PairTest, TellsTheLaneInUse) {
  const std::string lane = WireUnderTest() == WireKind::kUcx ? "tcp" : "socket";
  EXPECT_EQ(b_.member("a")->lane, lane);
  EXPECT_EQ(a_.member("b")->lane, lane);
}

TEST_F(PairTest, AskingAStrangerIsPeerGone) {
  const auto answer = b_.Ask("nobody", 1);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kPeerGone);
}

TEST_F(PairTest, AskingAfterLeavingIsClosed) {
  b_.Leave();
  const auto answer = b_.Ask("a", 1);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kClosed);
}

TEST_F(PairTest, APayloadOfAnotherSizeIsTheCallersError) {
  const auto other = BufferPool::Make(100, 1);
  b_.Run([&] {
    EXPECT_THROW(b_.transport().Exchange("a", {1, other->Take()},
                                         Milliseconds(100), [](auto) {}),
                 std::invalid_argument);
  });
}

TEST_F(PairTest, TheReportTravelsAsItIs) {
  const std::string report("\0\xff report", 9);
  a_.Run([&] { a_.transport().SetReport(report); });
  EXPECT_TRUE(
      Node::Eventually([&] { return b_.member("a")->report == report; }));
  a_.Run([&] {
    EXPECT_THROW(a_.transport().SetReport(std::string(32769, 'x')),
                 std::invalid_argument);
  });
}

class SilentPairTest : public PairTest {
 protected:
  SilentPairTest()
      : PairTest(4096, [this](Node&, const std::string&, Message, Respond r) {
          respond_ = std::move(r);
        }) {}
  Respond respond_;  // On a's thread.
};

TEST_F(SilentPairTest, NoAnswerIsATimeoutAfterTheDeadline) {
  const auto start = Clock::now();
  const auto answer = b_.Ask("a", 1, true, Milliseconds(150));
  EXPECT_GE(Clock::now() - start, Milliseconds(150));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(b_.counters("a").timeouts, 1U);
  EXPECT_EQ(b_.member("a")->state, MemberState::kAlive);
  EXPECT_TRUE(PoolIsFull(b_));
}

TEST_F(SilentPairTest, AnAnswerAfterTheDeadlineIsLostNotDelivered) {
  EXPECT_FALSE(b_.Ask("a", 1, true, Milliseconds(100)));
  // The asker's clock began before the answerer's.
  ASSERT_TRUE(Node::Eventually([&] {
    return a_.Run([&] {
      if (respond_) respond_({.version = 5, .payload = nullptr});
      return !a_.lost_answers().empty() || b_.counters("a").dropped_late > 0;
    });
  }));
  EXPECT_EQ(b_.counters("a").answers_in, 0U);
}

TEST_F(SilentPairTest, OnlyTheFirstAnswerCounts) {
  std::thread answerer([&] {
    ASSERT_TRUE(Node::Eventually([&] {
      return a_.Run([&] {
        if (!respond_) return false;
        respond_({.version = 5, .payload = nullptr});
        respond_({.version = 6, .payload = nullptr});
        return true;
      });
    }));
  });
  const auto answer = b_.Ask("a", 1);
  answerer.join();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->version, 5U);
  EXPECT_EQ(answer->payload, nullptr);
  // It may be here before its sender knows that it is out.
  EXPECT_TRUE(
      Node::Eventually([&] { return a_.counters("b").answers_out == 1; }));
}

TEST(ExchangeTest, AddedDelayHoldsMessagesBack) {
  auto options = TestOptions("b");
  options.added_delay = Milliseconds(100);
  Node a(TestOptions("a"));
  options.peers = {a.address()};
  Node b(options);
  ASSERT_TRUE(b.Sees("a", MemberState::kAlive));
  const auto start = Clock::now();
  EXPECT_TRUE(b.Ask("a", 1));
  EXPECT_GE(Clock::now() - start, Milliseconds(100));
}

TEST(ExchangeTest, NodesWithDifferentChunkSizesUnderstandEachOther) {
  auto small = TestOptions("a", {}, 100000);
  small.chunk_bytes = 1000;
  Node a(small);
  auto large = TestOptions("b", {a.address()}, 100000);
  large.chunk_bytes = 70001;
  Node b(large);
  ASSERT_TRUE(b.Sees("a", MemberState::kAlive));
  const auto answer = b.Ask("a", 1);
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_TRUE(HasPattern(answer->payload, 2));
}

TEST(ExchangeTest, AnExhaustedPoolDropsAndCounts) {
  Node a(TestOptions("a"));
  Node b(TestOptions("b", {a.address()}));
  ASSERT_TRUE(b.Sees("a", MemberState::kAlive));
  ASSERT_TRUE(a.Sees("b", MemberState::kAlive));
  std::vector<Buffer> hoard;
  while (auto buffer = a.pool()->Take()) hoard.push_back(buffer);
  EXPECT_FALSE(b.Ask("a", 1, true, Milliseconds(100)));
  EXPECT_EQ(a.counters("b").dropped_full, 1U);
  hoard.clear();
  EXPECT_TRUE(b.Ask("a", 2));
}

TEST(ExchangeTest, DestructionWithExchangesUnderWayIsSafe) {
  constexpr std::size_t kBytes = 8 * kChunk;
  for (int round = 0; round < 5; ++round) {
    Node a(TestOptions("a", {}, kBytes),
           [](Node&, const std::string&, Message, Respond) {});
    std::atomic<bool> called = false;
    auto b = std::make_unique<Node>(TestOptions("b", {a.address()}, kBytes));
    const auto pool = b->pool();
    ASSERT_TRUE(b->Sees("a", MemberState::kAlive));
    b->Run([&] {
      b->transport().Exchange("a", {1, pool->Take()}, Milliseconds(5000),
                              [&](auto) { called = true; });
    });
    b.reset();
    EXPECT_FALSE(called);
    EXPECT_EQ(pool->taken(), 0U);
    EXPECT_TRUE(Node::Eventually([&] { return a.pool()->taken() == 0; }));
  }
}

}  // namespace
}  // namespace hearsay::transport
