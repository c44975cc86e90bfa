// The exchange loop against a transport made of memory: two loops joined back
// to back, with answers lost, delayed or spoilt at will.
#include "daemon/exchange_loop.h"

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "daemon/mixing/momentum.h"
#include "tests/daemon/quiet_transport.h"

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
class MemoryTransport final : public QuietTransport {
 public:
  MemoryTransport(boost::asio::io_context& io, std::string self)
      : io_(io), self_(std::move(self)) {
    pool = transport::BufferPool::Make(kSize * sizeof(float), 8);
  }

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
    After(delay, [this, to, request, deadline, done] {
      peer->OnRequest(self_, request, [this, done, deadline](Message answer) {
        if (lose_answers)
          return After(deadline, [done] {
            done(transport::Error{transport::ErrorCode::kTimeout, "late"});
          });
        if (spoil)
          Floats(answer.payload)[3] = std::numeric_limits<float>::infinity();
        After(delay, [done, answer] { done(answer); });
      });
    });
  }

  ExchangeLoop* peer = nullptr;
  bool lose = false;
  bool spoil = false;
  bool last_carried = false;
  std::chrono::milliseconds delay{0};
  int requests = 0;
  bool lose_answers = false;

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
       const std::string& peer, mixing::Rule& rule, float value,
       const ExchangeOptions& options)
      : weights(kSize, rule.habits().has_twin ? mixing::Momentum::kAcid
                                              : mixing::Momentum::kOff),
        transport(io, name),
        neighbours(name, [](const auto&) {}),
        loop(io, transport, rule, weights, neighbours, options,
             [this] { return step; }) {
    transport.pool = transport::BufferPool::Make(
        MessageBytes(rule.habits(), options.passes.wire, kSize), 8);
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

  // The weights, and the twin: the first of each.
  std::pair<float, float> both() const {
    std::vector<float> seen(kSize), twin(kSize);
    weights.SnapshotBoth(seen, twin);
    return {seen[0], twin[0]};
  }

  LiveWeights weights;
  std::uint64_t step = 5;
  MemoryTransport transport;
  Neighbours neighbours;
  ExchangeLoop loop;
};

class ExchangeLoopTest : public testing::Test {
 protected:
  // Each side has a rule of its own, as its state is one node's.
  void Make(std::unique_ptr<mixing::Rule> at_a,
            std::unique_ptr<mixing::Rule> at_b = nullptr) {
    rule_a_ = std::move(at_a);
    rule_b_ =
        at_b ? std::move(at_b)
             : mixing::MakeRule(*mixing::ParseRule(rule_a_->name()),
                                {.momentum = rule_a_->habits().has_twin
                                                 ? mixing::Momentum::kAcid
                                                 : mixing::Momentum::kOff});
    a = std::make_unique<Side>(io, "a", "b", *rule_a_, 0, options);
    b = std::make_unique<Side>(io, "b", "a", *rule_b_, 8, options);
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
  template <typename Side>
  static ExchangeCounters Of(const Side& side, const std::string& peer) {
    const auto found = side.loop.counters().find(peer);
    return found == side.loop.counters().end() ? ExchangeCounters{}
                                               : found->second;
  }
  // A busy machine takes longer than the clock of the exchange.
  template <typename Condition>
  void RunUntil(Condition condition) {
    const auto end = transport::Clock::now() + 5s;
    while (!condition() && transport::Clock::now() < end) RunFor(5ms);
  }

  ExchangeOptions options{.interval = Duration(2ms),
                          .deadline = transport::Milliseconds(50)};
  boost::asio::io_context io;
  // run_for lasts its time, even while only the worker has something to do.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      open_ = boost::asio::make_work_guard(io);
  std::unique_ptr<mixing::Rule> rule_a_, rule_b_;
  std::unique_ptr<Side> a, b;
};

TEST_F(ExchangeLoopTest, PairwiseMeetsInTheMiddleAndConservesTheSum) {
  Make(mixing::MakePairwise());
  StartAsking();
  RunUntil([&] { return Of(*a, "b").ok > 1 && Of(*b, "a").answered > 1; });
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
  RunUntil([&] { return a->value() > 7.9; });
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

class ExchangeWireTest : public ExchangeLoopTest,
                         public testing::WithParamInterface<const char*> {};

TEST_P(ExchangeWireTest, PairwiseMeetsInTheMiddleAndConservesTheSum) {
  options.passes.wire = GetParam();
  Make(mixing::MakePairwise());
  std::vector<float> start(kSize);
  std::iota(start.begin(), start.end(), -20.0F);
  a->weights.Assign(start);
  a->loop.Start();
  b->loop.Start();
  std::vector<float> at_a(kSize), at_b(kSize);
  const auto far = [&] {
    a->weights.Snapshot(at_a);
    b->weights.Snapshot(at_b);
    double most = 0;
    for (std::size_t i = 0; i < kSize; ++i)
      most = std::max(most, std::abs(double{at_a[i]} - double{at_b[i]}));
    return most;
  };
  // What is left is a step of the format.
  RunUntil([&] { return far() < 0.5; });
  EXPECT_LT(far(), 0.5);
  for (Side* side : {a.get(), b.get()})
    side->neighbours.Update({}, transport::Clock::now());
  RunFor(50ms);  // What is on its way comes to its end.
  far();
  for (std::size_t i = 0; i < kSize; ++i)
    EXPECT_NEAR(at_a[i] + at_b[i], start[i] + 8, 2e-3) << i;
  EXPECT_EQ(a->transport.pool->bytes_each(),
            mixing::ParseWire(GetParam())->Bytes(kSize));
}

TEST_P(ExchangeWireTest, MomentumConservesTheSumOverBothArrays) {
  options.passes.wire = GetParam();
  options.interval = Duration(40ms);  // Answers are quick on a busy machine.
  Make(mixing::MakePairwiseAcid());
  std::vector<float> start(kSize);
  std::iota(start.begin(), start.end(), -20.0F);
  a->weights.Assign(start);
  a->loop.SetPlace({.place = 0, .members = 8});
  b->loop.SetPlace({.place = 1, .members = 6});  // It believes so.
  a->loop.Start();
  b->loop.Start();
  bool blended = false;
  RunUntil([&] {
    blended = blended || a->loop.eta() > 0;
    return blended && Of(*a, "b").ok > 10 && Of(*b, "a").ok > 10;
  });
  EXPECT_TRUE(blended);
  for (Side* side : {a.get(), b.get()})
    side->neighbours.Update({}, transport::Clock::now());
  RunFor(50ms);  // What is on its way comes to its end.
  std::vector<float> at_a(kSize), twin_a(kSize), at_b(kSize), twin_b(kSize);
  a->weights.SnapshotBoth(at_a, twin_a);
  b->weights.SnapshotBoth(at_b, twin_b);
  for (std::size_t i = 0; i < kSize; ++i)
    EXPECT_NEAR(at_a[i] + twin_a[i] + at_b[i] + twin_b[i], 2 * (start[i] + 8),
                4e-3)
        << i;
  EXPECT_EQ(Of(*a, "b").failed, 0U);
}

TEST_P(ExchangeWireTest, WhatIsNotFiniteIsDroppedAtBothEnds) {
  options.passes.wire = GetParam();
  options.passes.misbehave = "nan";
  Make(mixing::MakePairwise());
  StartAsking();
  RunUntil([&] { return Of(*b, "a").not_finite + Of(*b, "a").malformed > 0; });
  EXPECT_GE(Of(*b, "a").not_finite + Of(*b, "a").malformed, 1U);
  EXPECT_EQ(b->value(), 8);
}

INSTANTIATE_TEST_SUITE_P(Formats, ExchangeWireTest,
                         testing::Values("fp32", "bf16", "int8", "topk:0.25"),
                         [](const auto& wire) {
                           const std::string name = wire.param;
                           return name.substr(0, name.find(':'));
                         });

TEST_F(ExchangeLoopTest, AnotherFormatGivesAllWhenAskedForThem) {
  options.passes.wire = "int8";
  Make(mixing::MakePairwise());
  Answers(*b);
  Message got;
  b->loop.OnRequest("a", {0, nullptr}, [&](Message m) { got = std::move(m); });
  RunUntil([&] { return got.payload != nullptr; });
  std::vector<float> said(kSize);
  EXPECT_EQ(mixing::ParseWire("int8")->Decode(*got.payload, said),
            std::nullopt);
  EXPECT_NEAR(said[kSize - 1], 8, 0.1);
}

TEST_F(ExchangeLoopTest, AFormatThatSaysSomeWeightsGivesNoneToWhoAsksForAll) {
  options.passes.wire = "topk:0.1";
  Make(mixing::MakePairwise());
  Answers(*b);
  std::optional<Message> got;
  b->loop.OnRequest("a", {0, nullptr}, [&](Message m) { got = std::move(m); });
  ASSERT_TRUE(got);
  EXPECT_EQ(got->payload, nullptr) << "declined";
  EXPECT_EQ(Of(*b, "a").malformed, 0U) << "that is no offence";
}

TEST_F(ExchangeLoopTest, WhatIsBeyondTheClipIsScaledIfThatIsAskedFor) {
  options.passes.clip = 8;  // 64 weights: each may move by 1.
  options.passes.scale_to_clip = true;
  Make(mixing::MakePairwise());
  Answers(*b);
  std::optional<std::string> outcome;
  a->loop.Meet([&](const std::string& error) { outcome = error; });
  RunUntil([&] { return outcome.has_value(); });
  EXPECT_EQ(outcome, "");
  EXPECT_NEAR(a->value(), 1, 1e-5);
  EXPECT_NEAR(b->value(), 7, 1e-5);
  EXPECT_EQ(Of(*a, "b").beyond_clip, 0U);
}

TEST_F(ExchangeLoopTest, MomentumMovesTheTwinByTheGainOfTheAsker) {
  options.interval = Duration(1s);
  Make(mixing::MakePairwiseAcid());
  a->loop.SetPlace({.place = 0, .members = 8});
  Answers(*b);
  const auto meet = [&] {
    std::optional<std::string> outcome;
    a->loop.Meet([&](const std::string& error) { outcome = error; });
    RunUntil([&] { return outcome.has_value(); });
    EXPECT_EQ(outcome, "");
  };
  meet();  // No round trip is known yet: both arrays move half way.
  EXPECT_EQ(a->both(), std::pair(4.0F, 4.0F));
  EXPECT_EQ(b->both(), std::pair(4.0F, 4.0F));
  a->weights.Assign(std::vector<float>(kSize, 0));
  b->weights.Assign(std::vector<float>(kSize, 8));
  // From here on the answer's few milliseconds of a second are nearly nothing,
  // and so is what is blended meanwhile.
  const double round_trip = Of(*a, "b").round_trip_seconds;
  meet();
  const double gain = mixing::Scaled(mixing::RingAcid(8), round_trip).gain;
  EXPECT_NEAR(a->loop.eta(),
              mixing::Scaled(mixing::RingAcid(8), round_trip).eta, 1e-6);
  const auto [at_b, twin_b] = b->both();
  EXPECT_EQ(at_b, 4) << "it asks nobody, so it has no blend";
  EXPECT_NEAR(twin_b, 8 - gain * 8, 1e-4);
  const auto [at_a, twin_a] = a->both();
  EXPECT_NEAR(at_a + twin_a, 4 + gain * 8, 1e-4);
  EXPECT_NEAR(at_a, 4, 0.5);
}

TEST_F(ExchangeLoopTest, MomentumIsOffWhereAnswersTakeHalfAnInterval) {
  options.interval = Duration(20ms);
  Make(mixing::MakePairwiseAcid());
  a->loop.SetPlace({.place = 0, .members = 8});
  a->transport.delay = 6ms;  // Each way.
  StartAsking();
  RunUntil([&] { return Of(*a, "b").ok >= 3; });
  EXPECT_EQ(a->loop.eta(), 0);
  EXPECT_EQ(b->both().first, b->both().second);
}

TEST_F(ExchangeLoopTest, WhatIsNotLetInMovesNeitherArray) {
  Make(mixing::MakePairwiseAcid());
  a->transport.spoil = true;
  b->weights.Assign(std::vector<float>(kSize, 0));  // So only a is told apart.
  a->loop.SetPlace({.place = 0, .members = 8});
  StartAsking();
  RunUntil([&] { return Of(*a, "b").not_finite > 0; });
  EXPECT_EQ(a->both(), std::pair(0.0F, 0.0F));
  const auto send = [&](float value, double gain) {
    const auto payload = a->transport.pool->Take();
    std::fill_n(Floats(payload).begin(), kSize, value);
    const mixing::Note note{.twin_gain = gain};
    std::memcpy(payload->data() + kSize * sizeof(float), &note, sizeof note);
    b->loop.OnRequest("a", {9, payload}, [](const Message&) {});
  };
  a->loop.Stop();
  RunFor(20ms);
  const auto before = b->both();
  send(3, 1e9);
  RunUntil([&] { return Of(*b, "a").malformed > 0; });
  send(std::nanf(""), 0.9);
  RunUntil([&] { return Of(*b, "a").not_finite > 0; });
  EXPECT_EQ(Of(*b, "a").malformed, 1U);
  EXPECT_EQ(Of(*b, "a").not_finite, 1U);
  EXPECT_EQ(b->both(), before);
}

TEST_F(ExchangeLoopTest, TheClipBoundsTheTwinToo) {
  // Half of 8 in 64 elements moves the weights by 32; the twin by more.
  for (const bool scale : {false, true}) {
    options.passes.clip = 32.1;
    options.passes.scale_to_clip = scale;
    Make(mixing::MakePairwiseAcid());
    Answers(*b);
    const auto payload = a->transport.pool->Take();
    std::fill_n(Floats(payload).begin(), kSize, 0.0F);
    const mixing::Note note{.twin_gain = 1};
    std::memcpy(payload->data() + kSize * sizeof(float), &note, sizeof note);
    b->loop.OnRequest("a", {9, payload}, [](const Message&) {});
    RunUntil(
        [&] { return Of(*b, "a").beyond_clip + Of(*b, "a").answered > 0; });
    const auto [at, twin] = b->both();
    if (scale) {
      EXPECT_NEAR(twin, 8 - 32.1 / 8, 1e-5);
      EXPECT_NEAR(at, 8 - 32.1 / 16, 1e-5) << "in the proportion that it was";
    } else {
      EXPECT_EQ(Of(*b, "a").beyond_clip, 1U);
      EXPECT_EQ(b->both(), std::pair(8.0F, 8.0F));
    }
  }
}

TEST_F(ExchangeLoopTest, PushSumMergesByMassAndIsAcknowledged) {
  Make(mixing::MakePushSum());
  StartAsking();
  RunUntil([&] { return Of(*a, "b").ok >= 1; });
  a->loop.Stop();
  RunFor(20ms);
  // Masses 1/2, 1/4, ... of 0 into 1 of 8.
  EXPECT_LT(b->value(), 8);
  EXPECT_GT(b->value(), 3.9);
  EXPECT_EQ(a->value(), 0) << "who gives half of both keeps its weights";
  EXPECT_GE(Of(*a, "b").ok, 1U) << "acknowledged, not declined";
  EXPECT_EQ(Of(*a, "b").declined, 0U);
}

TEST_F(ExchangeLoopTest, PushSumMergesALateArrayOnceThoughItIsSentAgain) {
  Make(mixing::MakePushSum());
  a->transport.lose_answers = true;
  StartAsking();
  RunUntil([&] { return Of(*b, "a").answered >= 3; });
  EXPECT_NEAR(b->value(), 8 / 1.5, 1e-5) << "half of a mass of 1, once";
  EXPECT_EQ(Of(*a, "b").ok, 0U);
}

TEST_F(ExchangeLoopTest, PushSumNumbersBeginAnewWithANewProcess) {
  Make(mixing::MakePushSum());
  StartAsking();
  RunUntil([&] { return Of(*a, "b").ok >= 1; });
  a->loop.Stop();
  RunFor(20ms);
  const float before = b->value();
  b->loop.OnRestart("a");
  const auto payload = a->transport.pool->Take();
  std::fill_n(Floats(payload).begin(), kSize, 100.0F);
  const mixing::Note note{1, 0.5};
  std::memcpy(payload->data() + kSize * sizeof(float), &note, sizeof note);
  b->loop.OnRequest("a", {1, payload}, [](const Message&) {});
  RunUntil([&] { return b->value() > before; });
  EXPECT_GT(b->value(), before) << "its number 1 is not an old one";
}

TEST_F(ExchangeLoopTest, PushSumDropsANoteOfNoHonestNode) {
  Make(mixing::MakePushSum());
  Answers(*b);
  const auto payload = a->transport.pool->Take();
  std::fill_n(reinterpret_cast<float*>(payload->data()),
              payload->size() / sizeof(float), 1e9F);
  b->loop.OnRequest("a", {1, payload}, [](const Message&) {});
  RunUntil([&] { return Of(*b, "a").malformed > 0; });
  EXPECT_EQ(Of(*b, "a").malformed, 1U);
  EXPECT_EQ(b->value(), 8);
}

TEST_F(ExchangeLoopTest, NaiveNewestUndoesWhatWasLearntMeanwhile) {
  Make(mixing::MakeNaiveNewest());
  Answers(*b);
  const auto payload = a->transport.pool->Take();
  std::fill_n(Floats(payload).begin(), kSize, 0.0F);
  b->neighbours.Update({{.name = "a", .reachable = true, .mixes = true}},
                       transport::Clock::now());
  b->transport.lose = true;
  b->loop.OnRequest("a", {1, payload}, [](const Message&) {});
  RunUntil([&] { return b->value() < 0.1F; });
  EXPECT_LT(b->value(), 0.1F) << "the one copy again at each tick";
}

TEST_F(ExchangeLoopTest, AMeetingMovesBothToTheMeanAndThenTellsTheTrainer) {
  Make(mixing::MakeSymmetricBlocking());
  b->loop.SetPlace({.place = 1, .members = 2});
  a->loop.Start();
  b->loop.Start();
  std::optional<std::string> at_a, at_b;
  b->loop.Meet([&](const std::string& error) { at_b = error; });
  EXPECT_EQ(at_b, "") << "every other member only answers";
  a->loop.Meet([&](const std::string& error) {
    at_a = error;
    EXPECT_EQ(a->value(), 4);
  });
  RunUntil([&] { return at_a.has_value(); });
  EXPECT_EQ(at_a, "");
  EXPECT_EQ(b->value(), 4);
  EXPECT_EQ(a->transport.requests, 1) << "no clock";
}

TEST_F(ExchangeLoopTest, AMeetingWithOneThatIsDeadEndsWithAReason) {
  Make(mixing::MakeSymmetricBlocking());
  a->transport.lose = true;
  a->loop.Start();
  std::optional<std::string> met;
  a->loop.Meet([&](const std::string& error) { met = error; });
  RunUntil([&] { return met.has_value(); });
  EXPECT_EQ(met, "b: late");
  EXPECT_EQ(a->value(), 0);
}

TEST_F(ExchangeLoopTest, AMeetingOfOneThatIsAloneIsOver) {
  Make(mixing::MakeSymmetricBlocking());
  Answers(*a);
  std::optional<std::string> met;
  a->loop.Meet([&](const std::string& error) { met = error; });
  EXPECT_EQ(met, "");
}

TEST_F(ExchangeLoopTest, ARequestWaitsWhileOneTakesOneAtATime) {
  Make(mixing::MakeSymmetricBlocking());
  a->transport.delay = 20ms;
  a->loop.Start();
  b->loop.Start();
  bool met = false;
  bool answered = false;
  a->loop.Meet([&](const auto&) { met = true; });
  const auto payload = a->transport.pool->Take();
  std::fill_n(Floats(payload).begin(), kSize, 0.0F);
  a->loop.OnRequest("c", {1, payload}, [&](const Message&) {
    answered = true;
    EXPECT_TRUE(met);
  });
  RunUntil([&] { return answered; });
  EXPECT_TRUE(answered);
}

TEST_F(ExchangeLoopTest, AWorkerSendsItsChangeAndGoesOnFromTheServer) {
  options.server = "b";
  Make(mixing::MakeParameterServer(mixing::Seat::kWorker),
       mixing::MakeParameterServer(mixing::Seat::kServer));
  a->loop.Start();
  b->loop.Start();
  for (const float expected : {9.0F, 10.0F}) {
    a->weights.Add(std::vector<float>(kSize, 1));
    std::optional<std::string> met;
    a->loop.Meet([&](const std::string& error) { met = error; });
    RunUntil([&] { return met.has_value(); });
    EXPECT_EQ(met, "");
    EXPECT_EQ(b->value(), expected) << "the change, once";
    EXPECT_EQ(a->value(), expected);
  }
}

TEST_F(ExchangeLoopTest, AWorkerWhoseServerIsGoneSaysSo) {
  options.server = "b";
  options.deadline = transport::Milliseconds(20);
  Make(mixing::MakeParameterServer(mixing::Seat::kWorker));
  Answers(*a);
  std::optional<std::string> met;
  a->loop.Meet([&](const std::string& error) { met = error; });
  RunUntil([&] { return met.has_value(); });
  EXPECT_EQ(met, "b is not there");
}

TEST_F(ExchangeLoopTest, ALostExchangeChangesNothingAndIsCounted) {
  Make(mixing::MakePairwise());
  a->transport.lose = true;
  StartAsking();
  RunUntil([&] { return Of(*a, "b").failed > 0; });
  EXPECT_EQ(a->value(), 0);
  EXPECT_EQ(b->value(), 8);
  EXPECT_GE(a->loop.counters().at("b").failed, 1U);
  EXPECT_EQ(a->loop.counters().at("b").ok, 0U);
}

TEST_F(ExchangeLoopTest, AnAnswerThatIsNotFiniteIsDroppedWhole) {
  Make(mixing::MakePairwise());
  a->transport.spoil = true;
  StartAsking();
  RunUntil([&] { return Of(*a, "b").not_finite > 0; });
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
  RunUntil([&] { return answered || Of(*b, "a").not_finite > 0; });
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
  a->transport.delay = 300ms;
  StartAsking();
  RunUntil([&] { return a->transport.requests == 1; });  // No answer yet.
  const std::vector<float> step(kSize, 100);
  a->weights.Add(step);
  a->neighbours.Update({}, transport::Clock::now());
  RunUntil([&] { return Of(*a, "b").ok > 0; });
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
  RunUntil([&] { return a->transport.requests > 0; });
  EXPECT_GT(a->transport.requests, 0);
}

TEST_F(ExchangeLoopTest, BeforeItsStartANodeDeclinesEverything) {
  Make(mixing::MakePairwise());
  a->loop.Start();
  RunUntil([&] { return Of(*a, "b").declined > 0; });
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
  RunUntil([&] { return got.payload != nullptr; });
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
    const auto before = got.size();
    b->loop.OnRequest("a", {0, nullptr},
                      [&](Message m) { got.push_back(std::move(m)); });
    RunUntil([&] { return got.size() > before; });
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
  options.passes.clip = 31.9;  // Half of 8, in 64 elements: a move of 32.
  Make(mixing::MakePairwise());
  StartAsking();
  RunUntil([&] { return Of(*b, "a").beyond_clip > 0; });
  EXPECT_EQ(a->value(), 0);
  EXPECT_EQ(b->value(), 8);
  EXPECT_GE(b->loop.counters().at("a").beyond_clip, 1U)
      << "not answered either";
}

TEST_F(ExchangeLoopTest, WhatMovesTheWeightsJustFarEnoughIsLetIn) {
  options.passes.clip = 32.1;
  Make(mixing::MakePairwise());
  StartAsking();
  RunUntil([&] { return a->value() == 4; });
  EXPECT_EQ(a->value(), 4);
}

TEST_F(ExchangeLoopTest, AnAnswerOlderThanTheBoundIsDropped) {
  options.max_staleness = 10;
  Make(mixing::MakeOneWay());
  a->loop.OnStep("b", 16);  // By its heartbeats; its arrays say 5.
  StartAsking();
  RunUntil([&] { return Of(*a, "b").stale > 0; });
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
  RunUntil([&] { return Of(*b, "a").stale > 0; });
  EXPECT_EQ(b->value(), 8);
  EXPECT_GE(b->loop.counters().at("a").stale, 1U);
}

TEST_F(ExchangeLoopTest, APeerThatRepeatsOffencesIsNeitherAskedNorAnswered) {
  options.passes.misbehave = "nan";
  Make(mixing::MakePairwise());
  StartAsking();
  std::uint64_t answered = 0;
  const auto judged = [&] {
    return answered + Of(*b, "a").not_finite + Of(*b, "a").untrusted;
  };
  RunUntil([&] { return judged() > 0; });
  a->loop.Stop();
  EXPECT_EQ(Of(*b, "a").not_finite, 1U);
  EXPECT_TRUE(std::isfinite(a->value())) << "it spoils only what it sends";

  const auto ask = [&](float value) {
    const auto payload = a->transport.pool->Take();
    std::fill_n(Floats(payload).begin(), kSize, value);
    const auto before = judged();
    b->loop.OnRequest("a", {9, payload}, [&](const auto&) { ++answered; });
    RunUntil([&] { return judged() > before; });
  };
  ask(std::nanf(""));
  ask(8);
  EXPECT_EQ(answered, 1U) << "two offences may be an accident";
  ask(std::nanf(""));
  ask(8);
  EXPECT_EQ(answered, 1U);
  EXPECT_EQ(b->loop.counters().at("a").untrusted, 1U);
  EXPECT_EQ(b->value(), 8);
}

TEST_F(ExchangeLoopTest, APeerThatNeverAnswersIsBypassed) {
  Make(mixing::MakePairwise());
  a->transport.lose = true;
  StartAsking();
  RunUntil([&] { return Of(*a, "b").failed == 3; });
  RunFor(100ms);
  EXPECT_EQ(Of(*a, "b").failed, 3U);
  EXPECT_FALSE(a->neighbours.Next(transport::Clock::now()));
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
