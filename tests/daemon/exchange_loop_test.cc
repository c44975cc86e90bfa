// The exchange loop against a transport made of memory: two loops joined back
// to back, with answers lost, delayed or spoilt at will.
#include "daemon/exchange_loop.h"

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace hearsay::daemon {
namespace {

using namespace std::chrono_literals;
using transport::Message;
using transport::Result;

constexpr std::size_t kSize = 64;

std::span<float> Floats(const transport::Buffer& buffer) {
  return {reinterpret_cast<float*>(buffer->data()), kSize};
}

// Delivers to the peer's loop after `delay`, unless told otherwise.
class MemoryTransport final : public transport::Transport {
 public:
  MemoryTransport(boost::asio::io_context& io, std::string self)
      : io_(io), self_(std::move(self)) {}

  void Exchange(const std::string& to, Message request,
                transport::Milliseconds deadline,
                std::function<void(Result<Message>)> done) override {
    ++requests;
    last_carried = request.payload != nullptr;
    if (lose) {
      After(deadline, [done] {
        done(transport::Error{transport::ErrorCode::kTimeout, "late"});
      });
      return;
    }
    After(delay, [this, to, request, done] {
      peer->OnRequest(self_, request, [this, done](Message answer) {
        if (spoil)
          Floats(answer.payload)[3] = std::numeric_limits<float>::infinity();
        After(delay, [done, answer] { done(answer); });
      });
    });
  }

  void Start() override {}
  void Leave(std::function<void()> done) override { done(); }
  void SetReport(std::string) override {}
  bool Join(const std::string&) override { return false; }
  transport::ForceLeaveOutcome ForceLeave(const std::string&) override {
    return transport::ForceLeaveOutcome::kUnknown;
  }
  std::vector<transport::Member> members() const override { return {}; }
  transport::LinkCounters counters(const std::string&) const override {
    return {};
  }
  transport::collective::Collectives& collectives() override {
    throw std::logic_error("an exchange needs no rounds");
  }
  std::string address() const override { return ""; }
  const std::shared_ptr<transport::BufferPool>& buffers() const override {
    return pool;
  }

  ExchangeLoop* peer = nullptr;
  bool lose = false;
  bool spoil = false;
  bool last_carried = false;
  std::chrono::milliseconds delay{0};
  int requests = 0;
  std::shared_ptr<transport::BufferPool> pool =
      transport::BufferPool::Make(kSize * sizeof(float), 8);

 private:
  void After(std::chrono::milliseconds wait, std::function<void()> action) {
    auto timer = std::make_shared<boost::asio::steady_timer>(io_, wait);
    timer->async_wait([timer, action](const auto& error) {
      if (!error) action();
    });
  }

  boost::asio::io_context& io_;
  const std::string self_;
};

struct Side {
  Side(boost::asio::io_context& io, const std::string& name,
       const std::string& peer, const mixing::Rule& rule, float value,
       const ExchangeOptions& options)
      : transport(io, name),
        neighbours(name, [](const auto&) {}),
        loop(io, transport, rule, weights, neighbours, options,
             [this] { return step; }) {
    neighbours.Update({{.name = peer, .reachable = true, .mixes = true}},
                      transport::Clock::now());
    const std::vector<float> start(kSize, value);
    weights.Assign(start);
  }

  float value() const {
    std::vector<float> seen(kSize);
    weights.Snapshot(seen);
    return seen[0];
  }

  LiveWeights weights{kSize};
  std::uint64_t step = 5;
  MemoryTransport transport;
  Neighbours neighbours;
  ExchangeLoop loop;
};

class ExchangeLoopTest : public testing::Test {
 protected:
  void Make(std::unique_ptr<mixing::Rule> rule) {
    rule_ = std::move(rule);
    a = std::make_unique<Side>(io, "a", "b", *rule_, 0, options);
    b = std::make_unique<Side>(io, "b", "a", *rule_, 8, options);
    a->transport.peer = &b->loop;
    b->transport.peer = &a->loop;
  }

  // Only a asks; b answers.
  void StartAsking() {
    Answers(*b);
    a->loop.Start();
  }
  static void Answers(Side& side) {
    side.neighbours.Update({}, transport::Clock::now());
    side.loop.Start();
  }

  void RunFor(std::chrono::milliseconds time) { io.run_for(time); }

  ExchangeOptions options{.interval = Duration(2ms),
                          .deadline = transport::Milliseconds(50)};
  boost::asio::io_context io;
  // run_for lasts its time, even while only the worker has something to do.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      open_ = boost::asio::make_work_guard(io);
  std::unique_ptr<mixing::Rule> rule_;
  std::unique_ptr<Side> a, b;
};

TEST_F(ExchangeLoopTest, PairwiseMeetsInTheMiddleAndConservesTheSum) {
  Make(mixing::MakePairwise());
  StartAsking();
  RunFor(60ms);
  EXPECT_EQ(a->value(), 4);
  EXPECT_EQ(b->value(), 4);
  EXPECT_GT(a->loop.counters().at("b").ok, 1U);
  EXPECT_EQ(a->loop.counters().at("b").failed, 0U);
  EXPECT_GT(b->loop.counters().at("a").answered, 1U);
  EXPECT_TRUE(a->transport.last_carried);
}

TEST_F(ExchangeLoopTest, OneWayMovesOnlyTheAskerAndSendsNothing) {
  Make(mixing::MakeOneWay());
  StartAsking();
  RunFor(60ms);
  EXPECT_NEAR(a->value(), 8, 0.1);
  EXPECT_EQ(b->value(), 8);
  EXPECT_FALSE(a->transport.last_carried);
}

TEST_F(ExchangeLoopTest, NoneNeverAsks) {
  Make(mixing::MakeNone());
  StartAsking();
  RunFor(30ms);
  EXPECT_EQ(a->transport.requests, 0);
}

TEST_F(ExchangeLoopTest, ALostExchangeChangesNothingAndIsCounted) {
  Make(mixing::MakePairwise());
  a->transport.lose = true;
  StartAsking();
  RunFor(150ms);
  EXPECT_EQ(a->value(), 0);
  EXPECT_EQ(b->value(), 8);
  EXPECT_GE(a->loop.counters().at("b").failed, 1U);
  EXPECT_EQ(a->loop.counters().at("b").ok, 0U);
}

TEST_F(ExchangeLoopTest, AnAnswerThatIsNotFiniteIsDroppedWhole) {
  Make(mixing::MakePairwise());
  a->transport.spoil = true;
  StartAsking();
  RunFor(30ms);
  EXPECT_EQ(a->value(), 0) << "nothing of it was let in";
  EXPECT_GE(a->loop.counters().at("b").not_finite, 1U);
}

TEST_F(ExchangeLoopTest, ARequestThatIsNotFiniteIsDroppedWholeAndNotAnswered) {
  Make(mixing::MakePairwise());
  Answers(*b);
  const auto payload = a->transport.pool->Take();
  std::fill_n(Floats(payload).begin(), kSize, 1.0F);
  Floats(payload)[kSize - 1] = std::numeric_limits<float>::quiet_NaN();
  bool answered = false;
  b->loop.OnRequest("a", {1, payload},
                    [&](const Message&) { answered = true; });
  RunFor(30ms);
  EXPECT_FALSE(answered);
  EXPECT_EQ(b->value(), 8);
  EXPECT_EQ(b->loop.counters().at("a").not_finite, 1U);
}

TEST_F(ExchangeLoopTest, OnlyOneExchangeOfItsOwnIsInFlight) {
  Make(mixing::MakePairwise());
  a->transport.delay = 40ms;  // Against an interval of 2 ms.
  StartAsking();
  RunFor(70ms);
  EXPECT_EQ(a->transport.requests, 1);
}

TEST_F(ExchangeLoopTest, WorkGoesOnWhileTheAnswerIsOnItsWay) {
  Make(mixing::MakePairwise());
  a->transport.delay = 20ms;
  StartAsking();
  RunFor(25ms);  // Asked; no answer yet.
  const std::vector<float> step(kSize, 100);
  a->weights.Add(step);
  a->neighbours.Update({}, transport::Clock::now());
  RunFor(100ms);
  EXPECT_EQ(a->value(), 104) << "the step is not undone by the correction";
  EXPECT_EQ(b->value(), 4);
}

TEST_F(ExchangeLoopTest, ALateAnswerAfterStopIsHarmless) {
  Make(mixing::MakePairwise());
  a->transport.delay = 20ms;
  StartAsking();
  RunFor(10ms);
  a->loop.Stop();
  RunFor(100ms);
  EXPECT_EQ(a->value(), 0);
}

TEST_F(ExchangeLoopTest, AnEmptyPoolSkipsATurn) {
  Make(mixing::MakePairwise());
  std::vector<transport::Buffer> all;
  while (auto buffer = a->transport.pool->Take()) all.push_back(buffer);
  StartAsking();
  RunFor(20ms);
  EXPECT_EQ(a->transport.requests, 0);
  all.clear();
  RunFor(40ms);
  EXPECT_GT(a->transport.requests, 0);
}

TEST_F(ExchangeLoopTest, BeforeItsStartANodeDeclinesEverything) {
  Make(mixing::MakePairwise());
  a->loop.Start();
  RunFor(30ms);
  EXPECT_EQ(a->value(), 0);
  EXPECT_EQ(b->value(), 8) << "no weights to mix yet";
  EXPECT_GE(a->loop.counters().at("b").declined, 1U);
  EXPECT_EQ(a->loop.counters().at("b").failed, 0U) << "that is no failure";
}

TEST_F(ExchangeLoopTest, ARequestThatCarriesNothingFetchesAndMovesNobody) {
  Make(mixing::MakePairwise());
  Answers(*b);
  transport::Message got;
  b->loop.OnRequest("a", {0, nullptr}, [&](Message m) { got = std::move(m); });
  RunFor(20ms);
  ASSERT_NE(got.payload, nullptr);
  EXPECT_EQ(Floats(got.payload)[kSize - 1], 8);
  EXPECT_EQ(got.version, 5U);
  EXPECT_EQ(b->value(), 8);
}

TEST_F(ExchangeLoopTest, ADonorGivesToOneAtATimeAndSaysSoToTheOthers) {
  Make(mixing::MakePairwise());
  Answers(*b);
  std::vector<Message> got;
  const auto fetch = [&] {
    b->loop.OnRequest("a", {0, nullptr},
                      [&](Message m) { got.push_back(std::move(m)); });
    RunFor(10ms);
  };
  fetch();
  fetch();  // The first is still on its way: somebody holds its buffer.
  ASSERT_EQ(got.size(), 2U);
  EXPECT_NE(got[0].payload, nullptr);
  EXPECT_EQ(got[1].payload, nullptr) << "declined at once, not left waiting";
  got.clear();
  fetch();
  EXPECT_NE(got[0].payload, nullptr);
}

TEST_F(ExchangeLoopTest, WhatMovesTheWeightsTooFarIsDroppedWhole) {
  options.clip = 31.9;  // Half of 8, in 64 elements: a move of 32.
  Make(mixing::MakePairwise());
  StartAsking();
  RunFor(30ms);
  EXPECT_EQ(a->value(), 0);
  EXPECT_EQ(b->value(), 8);
  EXPECT_GE(b->loop.counters().at("a").beyond_clip, 1U)
      << "not answered either";
}

TEST_F(ExchangeLoopTest, WhatMovesTheWeightsJustFarEnoughIsLetIn) {
  options.clip = 32.1;
  Make(mixing::MakePairwise());
  StartAsking();
  RunFor(60ms);
  EXPECT_EQ(a->value(), 4);
}

TEST_F(ExchangeLoopTest, AnAnswerOlderThanTheBoundIsDropped) {
  options.max_staleness = 10;
  Make(mixing::MakeOneWay());
  a->loop.OnStep("b", 16);  // By its heartbeats; its arrays say 5.
  StartAsking();
  RunFor(30ms);
  EXPECT_EQ(a->value(), 0);
  EXPECT_GE(a->loop.counters().at("b").stale, 1U);
  a->loop.OnRestart("b");
  a->neighbours.Update({}, transport::Clock::now());
  EXPECT_EQ(a->loop.counters().at("b").newest_version, 0U);
}

TEST_F(ExchangeLoopTest, ARequestOlderThanTheBoundIsNotAnswered) {
  options.max_staleness = 10;
  Make(mixing::MakePairwise());
  b->loop.OnStep("a", 16);
  StartAsking();
  RunFor(30ms);
  EXPECT_EQ(b->value(), 8);
  EXPECT_GE(b->loop.counters().at("a").stale, 1U);
}

TEST_F(ExchangeLoopTest, APeerThatRepeatsOffencesIsNeitherAskedNorAnswered) {
  options.misbehave = "nan";
  Make(mixing::MakePairwise());
  StartAsking();
  RunFor(20ms);
  EXPECT_EQ(b->loop.counters().at("a").not_finite, 1U);
  EXPECT_TRUE(std::isfinite(a->value())) << "it spoils only what it sends";

  int answered = 0;
  const auto ask = [&](float value) {
    const auto payload = a->transport.pool->Take();
    std::fill_n(Floats(payload).begin(), kSize, value);
    b->loop.OnRequest("a", {9, payload}, [&](const auto&) { ++answered; });
    RunFor(10ms);
  };
  ask(std::nanf(""));
  ask(8);
  EXPECT_EQ(answered, 1) << "two offences may be an accident";
  ask(std::nanf(""));
  ask(8);
  EXPECT_EQ(answered, 1);
  EXPECT_EQ(b->loop.counters().at("a").untrusted, 1U);
  EXPECT_EQ(b->value(), 8);
}

TEST_F(ExchangeLoopTest, APeerThatNeverAnswersIsBypassed) {
  Make(mixing::MakePairwise());
  a->transport.lose = true;
  StartAsking();
  RunFor(400ms);
  EXPECT_EQ(a->loop.counters().at("b").failed, 3U);
  EXPECT_FALSE(a->neighbours.Successor(transport::Clock::now()));
  EXPECT_TRUE(a->neighbours.Trusts("b", transport::Clock::now()));
}

TEST(MisbehaviourTest, SpoilsAsItSays) {
  std::vector<float> array = {1, 2, 3};
  std::uint64_t version = 7;
  Misbehaviour("").Spoil(array, version);
  EXPECT_EQ(array, (std::vector<float>{1, 2, 3}));
  Misbehaviour("huge").Spoil(array, version);
  EXPECT_EQ(array[0], 2e6F);
  Misbehaviour stale("stale");
  array = {1, 2, 3};
  stale.Spoil(array, version);
  array = {4, 5, 6};
  version = 8;
  stale.Spoil(array, version);
  EXPECT_EQ(array, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(version, 7U);
  Misbehaviour("nan").Spoil(array, version);
  EXPECT_FALSE(mixing::AllFinite(array));
}

TEST(ExchangeIntervalTest, AutoFollowsTheSlowerOfStepAndExchange) {
  boost::asio::io_context io;
  MemoryTransport transport(io, "a");
  LiveWeights weights(kSize);
  const auto rule = mixing::MakeOneWay();
  Neighbours nobody("a", [](const auto&) {});
  ExchangeLoop loop(io, transport, *rule, weights, nobody, {},
                    [] { return 0U; });
  EXPECT_EQ(loop.ProposedInterval(), Duration(1ms)) << "the shortest";
  loop.SetClusterPace(20ms, 0ms);
  EXPECT_EQ(loop.ProposedInterval(), Duration(20ms));
  loop.SetClusterPace(20ms, 70ms);
  EXPECT_EQ(loop.Interval(), Duration(70ms)) << "one_way: the largest proposed";
  loop.SetClusterPace(1h, 0ms);
  EXPECT_EQ(loop.ProposedInterval(), Duration(10s)) << "the longest";
}

}  // namespace
}  // namespace hearsay::daemon
