// The other rules over the loop: push-sum, the foils, meetings, a server.
#include "daemon/exchange_loop.h"

#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>
#include "tests/daemon/exchange_scene.h"

namespace hearsay::daemon {
namespace {

using namespace std::chrono_literals;
using transport::Message;

class ExchangeRulesTest : public ExchangeScene {};

TEST_F(ExchangeRulesTest, PushSumMergesByMassAndIsAcknowledged) {
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

TEST_F(ExchangeRulesTest, PushSumMergesALateArrayOnceThoughItIsSentAgain) {
  Make(mixing::MakePushSum());
  a->transport.lose_answers = true;
  StartAsking();
  RunUntil([&] { return Of(*b, "a").answered >= 3; });
  EXPECT_NEAR(b->value(), 8 / 1.5, 1e-5) << "half of a mass of 1, once";
  EXPECT_EQ(Of(*a, "b").ok, 0U);
}

TEST_F(ExchangeRulesTest, PushSumNumbersBeginAnewWithANewProcess) {
  Make(mixing::MakePushSum());
  StartAsking();
  RunUntil([&] { return Of(*a, "b").ok >= 1; });
  a->loop.Stop();
  RunFor(20ms);
  const float before = b->value();
  b->loop.OnRestart("a");
  const auto payload = a->transport.pool->Take();
  std::fill_n(Floats(payload).begin(), kLength, 100.0F);
  const mixing::Note note{1, 0.5};
  std::memcpy(payload->data() + kLength * sizeof(float), &note, sizeof note);
  b->loop.OnRequest("a", {1, payload}, [](const Message&) {});
  RunUntil([&] { return b->value() > before; });
  EXPECT_GT(b->value(), before) << "its number 1 is not an old one";
}

TEST_F(ExchangeRulesTest, PushSumDropsANoteOfNoHonestNode) {
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

TEST_F(ExchangeRulesTest, NaiveNewestUndoesWhatWasLearntMeanwhile) {
  Make(mixing::MakeNaiveNewest());
  Answers(*b);
  const auto payload = a->transport.pool->Take();
  std::fill_n(Floats(payload).begin(), kLength, 0.0F);
  b->neighbours.Update({{.name = "a", .reachable = true, .mixes = true}},
                       transport::Clock::now());
  b->transport.lose = true;
  b->loop.OnRequest("a", {1, payload}, [](const Message&) {});
  RunUntil([&] { return b->value() < 0.1F; });
  EXPECT_LT(b->value(), 0.1F) << "the one copy again at each tick";
}

TEST_F(ExchangeRulesTest, AMeetingMovesBothToTheMeanAndThenTellsTheTrainer) {
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

TEST_F(ExchangeRulesTest, AMeetingWithOneThatIsDeadEndsWithAReason) {
  Make(mixing::MakeSymmetricBlocking());
  a->transport.lose = true;
  a->loop.Start();
  std::optional<std::string> met;
  a->loop.Meet([&](const std::string& error) { met = error; });
  RunUntil([&] { return met.has_value(); });
  EXPECT_EQ(met, "b: late");
  EXPECT_EQ(a->value(), 0);
}

TEST_F(ExchangeRulesTest, AMeetingOfOneThatIsAloneIsOver) {
  Make(mixing::MakeSymmetricBlocking());
  Answers(*a);
  std::optional<std::string> met;
  a->loop.Meet([&](const std::string& error) { met = error; });
  EXPECT_EQ(met, "");
}

TEST_F(ExchangeRulesTest, ARequestWaitsWhileOneTakesOneAtATime) {
  Make(mixing::MakeSymmetricBlocking());
  a->transport.delay = 20ms;
  a->loop.Start();
  b->loop.Start();
  bool met = false;
  bool answered = false;
  a->loop.Meet([&](const auto&) { met = true; });
  const auto payload = a->transport.pool->Take();
  std::fill_n(Floats(payload).begin(), kLength, 0.0F);
  a->loop.OnRequest("c", {1, payload}, [&](const Message&) {
    answered = true;
    EXPECT_TRUE(met);
  });
  RunUntil([&] { return answered; });
  EXPECT_TRUE(answered);
}

TEST_F(ExchangeRulesTest, AWorkerSendsItsChangeAndGoesOnFromTheServer) {
  options.server = "b";
  Make(mixing::MakeParameterServer(mixing::Seat::kWorker),
       mixing::MakeParameterServer(mixing::Seat::kServer));
  a->loop.Start();
  b->loop.Start();
  for (const float expected : {9.0F, 10.0F}) {
    a->weights.Add(std::vector<float>(kLength, 1));
    std::optional<std::string> met;
    a->loop.Meet([&](const std::string& error) { met = error; });
    RunUntil([&] { return met.has_value(); });
    EXPECT_EQ(met, "");
    EXPECT_EQ(b->value(), expected) << "the change, once";
    EXPECT_EQ(a->value(), expected);
  }
}

TEST_F(ExchangeRulesTest, AWorkerWhoseServerIsGoneSaysSo) {
  options.server = "b";
  options.deadline = transport::Milliseconds(20);
  Make(mixing::MakeParameterServer(mixing::Seat::kWorker));
  Answers(*a);
  std::optional<std::string> met;
  a->loop.Meet([&](const std::string& error) { met = error; });
  RunUntil([&] { return met.has_value(); });
  EXPECT_EQ(met, "b is not there");
}

}  // namespace
}  // namespace hearsay::daemon
