// The exchange loop: who is asked when, what is let in, what is counted.
#include "daemon/exchange_loop.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <vector>
#include "tests/daemon/exchange_scene.h"

namespace hearsay::daemon {
namespace {

using namespace std::chrono_literals;
using transport::Message;

class ExchangeLoopTest : public ExchangeScene {};

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
  std::fill_n(Floats(payload).begin(), kLength, 1.0F);
  Floats(payload)[kLength - 1] = std::numeric_limits<float>::quiet_NaN();
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
  const std::vector<float> step(kLength, 100);
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
  EXPECT_EQ(Floats(got.payload)[kLength - 1], 8);
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
    std::fill_n(Floats(payload).begin(), kLength, value);
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
  LiveWeights weights(kLength);
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
