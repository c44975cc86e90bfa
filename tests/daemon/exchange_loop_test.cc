// The exchange loop against a transport made of memory: two loops joined back
// to back, with answers lost, delayed or spoilt at will.
#include "daemon/exchange_loop.h"

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
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
  std::vector<transport::Member> members() const override { return {}; }
  transport::LinkCounters counters(const std::string&) const override {
    return {};
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
       const std::string& peer, const mixing::Rule& rule, float value)
      : transport(io, name),
        loop(
            io, transport, rule, weights,
            ExchangeOptions{Duration(2ms), transport::Milliseconds(50)},
            [this, peer]() -> std::optional<std::string> {
              if (alone) return std::nullopt;
              return peer;
            },
            [] { return 5U; }) {
    const std::vector<float> start(kSize, value);
    weights.Assign(start);
  }

  float value() const {
    std::vector<float> seen(kSize);
    weights.Snapshot(seen);
    return seen[0];
  }

  LiveWeights weights{kSize};
  MemoryTransport transport;
  bool alone = false;
  ExchangeLoop loop;
};

class ExchangeLoopTest : public testing::Test {
 protected:
  void Make(std::unique_ptr<mixing::Rule> rule) {
    rule_ = std::move(rule);
    a = std::make_unique<Side>(io, "a", "b", *rule_, 0);
    b = std::make_unique<Side>(io, "b", "a", *rule_, 8);
    a->transport.peer = &b->loop;
    b->transport.peer = &a->loop;
  }

  void RunFor(std::chrono::milliseconds time) { io.run_for(time); }

  boost::asio::io_context io;
  // run_for lasts its time, even while only the worker has something to do.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      open_ = boost::asio::make_work_guard(io);
  std::unique_ptr<mixing::Rule> rule_;
  std::unique_ptr<Side> a, b;
};

TEST_F(ExchangeLoopTest, PairwiseMeetsInTheMiddleAndConservesTheSum) {
  Make(mixing::MakePairwise());
  a->loop.Start();
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
  a->loop.Start();
  RunFor(60ms);
  EXPECT_NEAR(a->value(), 8, 0.1);
  EXPECT_EQ(b->value(), 8);
  EXPECT_FALSE(a->transport.last_carried);
}

TEST_F(ExchangeLoopTest, NoneNeverAsks) {
  Make(mixing::MakeNone());
  a->loop.Start();
  RunFor(30ms);
  EXPECT_EQ(a->transport.requests, 0);
}

TEST_F(ExchangeLoopTest, ALostExchangeChangesNothingAndIsCounted) {
  Make(mixing::MakePairwise());
  a->transport.lose = true;
  a->loop.Start();
  RunFor(150ms);
  EXPECT_EQ(a->value(), 0);
  EXPECT_EQ(b->value(), 8);
  EXPECT_GE(a->loop.counters().at("b").failed, 1U);
  EXPECT_EQ(a->loop.counters().at("b").ok, 0U);
}

TEST_F(ExchangeLoopTest, AnAnswerThatIsNotFiniteIsDroppedWhole) {
  Make(mixing::MakePairwise());
  a->transport.spoil = true;
  a->loop.Start();
  RunFor(30ms);
  EXPECT_EQ(a->value(), 0) << "nothing of it was let in";
  EXPECT_GE(a->loop.counters().at("b").not_finite, 1U);
}

TEST_F(ExchangeLoopTest, ARequestThatIsNotFiniteIsDroppedWholeAndNotAnswered) {
  Make(mixing::MakePairwise());
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
  a->loop.Start();
  RunFor(70ms);
  EXPECT_EQ(a->transport.requests, 1);
}

TEST_F(ExchangeLoopTest, WorkGoesOnWhileTheAnswerIsOnItsWay) {
  Make(mixing::MakePairwise());
  a->transport.delay = 20ms;
  a->loop.Start();
  RunFor(25ms);  // Asked; no answer yet.
  const std::vector<float> step(kSize, 100);
  a->weights.Add(step);
  a->alone = true;
  RunFor(100ms);
  EXPECT_EQ(a->value(), 104) << "the step is not undone by the correction";
  EXPECT_EQ(b->value(), 4);
}

TEST_F(ExchangeLoopTest, ALateAnswerAfterStopIsHarmless) {
  Make(mixing::MakePairwise());
  a->transport.delay = 20ms;
  a->loop.Start();
  RunFor(10ms);
  a->loop.Stop();
  RunFor(100ms);
  EXPECT_EQ(a->value(), 0);
}

TEST_F(ExchangeLoopTest, AnEmptyPoolSkipsATurn) {
  Make(mixing::MakePairwise());
  std::vector<transport::Buffer> all;
  while (auto buffer = a->transport.pool->Take()) all.push_back(buffer);
  a->loop.Start();
  RunFor(20ms);
  EXPECT_EQ(a->transport.requests, 0);
  all.clear();
  RunFor(40ms);
  EXPECT_GT(a->transport.requests, 0);
}

TEST(ExchangeIntervalTest, AutoFollowsTheSlowerOfStepAndExchange) {
  boost::asio::io_context io;
  MemoryTransport transport(io, "a");
  LiveWeights weights(kSize);
  const auto rule = mixing::MakeOneWay();
  ExchangeLoop loop(
      io, transport, *rule, weights, {}, [] { return std::nullopt; },
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
