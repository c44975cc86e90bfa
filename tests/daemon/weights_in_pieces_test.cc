// Exchanges whose arrays arrive in pieces, and become differences meanwhile.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "tests/daemon/exchange_scene.h"

namespace hearsay::daemon {
namespace {

using namespace std::chrono_literals;
using transport::Message;

// The first exchange of two nodes with weights that floats round.
class ExchangeInPiecesTest : public ExchangeScene,
                             public testing::WithParamInterface<
                                 std::tuple<const char*, double, bool>> {
 protected:
  struct Outcome {
    std::vector<float> a, b;
    int ahead = 0;
    bool operator==(const Outcome& other) const {
      return a == other.a && b == other.b;
    }
  };

  std::unique_ptr<mixing::Rule> MakeRuleOf() const {
    const std::string name = std::get<0>(GetParam());
    if (name == "acid") return mixing::MakePairwiseAcid();
    return mixing::MakeRule(*mixing::ParseRule(name));
  }
  Outcome MeetOnce(std::size_t piece_bytes) {
    options.interval = Duration(1h);
    options.deadline = transport::Milliseconds(5000);
    options.passes.piecewise_from_bytes = 0;
    options.passes.clip = std::get<1>(GetParam());
    options.passes.scale_to_clip = std::get<2>(GetParam());
    Make(MakeRuleOf(), MakeRuleOf());
    for (LoopSide* side : {a.get(), b.get()}) {
      side->transport.piece_bytes = piece_bytes;
      side->weights.Assign(Start(side == a.get()));
    }
    b->loop.Start();
    a->loop.Start();
    std::optional<std::string> met;
    a->loop.Meet([&](std::string error) { met = std::move(error); });
    RunUntil([&] { return met && Of(*b, "a").answered == 1; });
    EXPECT_EQ(met, "");
    Outcome outcome{.a = Floats(kLength),
                    .b = Floats(kLength),
                    .ahead = a->transport.answers_ahead};
    a->weights.Snapshot(outcome.a);
    b->weights.Snapshot(outcome.b);
    return outcome;
  }
  using Floats = std::vector<float>;
  static Floats Start(bool at_a) {
    Floats values(kLength);
    for (std::size_t i = 0; i < kLength; ++i)
      values[i] = at_a ? 0.1F * static_cast<float>(i)
                       : 1.0F / (3.0F + static_cast<float>(i));
    return values;
  }
};

TEST_P(ExchangeInPiecesTest, EndsWhereAWholeOneEndsToTheBit) {
  const auto whole = MeetOnce(0);
  EXPECT_EQ(whole.ahead, 0);
  EXPECT_NE(whole.b, Start(false));
  // All weights in a piece; two; and such as cut floats.
  for (const std::size_t piece :
       {std::size_t{4096}, 2 * kLength, std::size_t{7}}) {
    const auto pieces = MeetOnce(piece);
    EXPECT_EQ(pieces, whole) << piece;
    EXPECT_EQ(pieces.ahead, rule_a_->habits().answer_carries ? 1 : 0);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rules, ExchangeInPiecesTest,
    testing::Combine(testing::Values("pairwise", "acid", "push_sum"),
                     testing::Values(0.0, 2.5), testing::Values(true)));

// What follows is about pairwise; one piece is the whole array.
class ExchangePiecewiseTest : public ExchangeScene {
 protected:
  ExchangePiecewiseTest() { options.passes.piecewise_from_bytes = 0; }
  void MakePiecewise() {
    Make(mixing::MakePairwise());
    for (LoopSide* side : {a.get(), b.get()})
      side->transport.piece_bytes = kLength * sizeof(float);
  }
};

TEST_F(ExchangePiecewiseTest, StepsOfMeanwhileAreNotUndone) {
  MakePiecewise();
  a->transport.delay = 50ms;
  StartAsking();
  RunUntil([&] { return a->transport.answers_ahead == 1; });
  const std::vector<float> step(kLength, 100);
  a->weights.Add(step);
  b->weights.Add(step);
  a->neighbours.Update({}, transport::Clock::now());
  RunUntil([&] { return Of(*a, "b").ok > 0; });
  EXPECT_EQ(a->value(), 104);
  EXPECT_EQ(b->value(), 104);
}

TEST_F(ExchangePiecewiseTest, AnAnswerThatIsNotFiniteIsDroppedWhole) {
  MakePiecewise();
  a->transport.spoil = true;
  StartAsking();
  RunUntil([&] { return Of(*a, "b").not_finite > 0; });
  EXPECT_EQ(a->value(), 0);
  EXPECT_EQ(Of(*a, "b").ok, 0U);
}

TEST_F(ExchangePiecewiseTest, ARequestThatIsNotFiniteIsNotAnswered) {
  MakePiecewise();
  Answers(*b);
  const auto payload = a->transport.pool->Take();
  std::ranges::fill(Floats(payload), 1.0F);
  Floats(payload)[kLength - 1] = std::numeric_limits<float>::quiet_NaN();
  bool answered = false;
  a->transport.Exchange(
      "b", {1, payload}, transport::Milliseconds(50),
      [&](const auto&) { answered = true; }, nullptr);
  RunUntil([&] { return answered || Of(*b, "a").not_finite > 0; });
  EXPECT_FALSE(answered);
  EXPECT_EQ(b->value(), 8);
  EXPECT_EQ(Of(*b, "a").not_finite, 1U);
}

// Its payload's memory may be the next message's.
TEST_F(ExchangePiecewiseTest, ARequestThatNeverBecomesWholeIsForgotten) {
  Make(mixing::MakePairwise());
  Answers(*b);
  auto payload = b->transport.pool->Take();
  std::ranges::fill(Floats(payload), 2.0F);
  auto on_piece = b->loop.OnRequestBegin("a", {1, payload}, [](const auto&) {});
  ASSERT_TRUE(on_piece);
  EXPECT_FALSE(b->loop.OnRequestBegin("a", {1, payload}, [](const auto&) {}))
      << "a second at once";
  RunFor(20ms);
  on_piece(0, kLength * sizeof(float));
  EXPECT_EQ(Floats(payload)[0], -6) << "the difference is made";
  on_piece = nullptr;
  payload.reset();
  RunFor(5ms);
  EXPECT_EQ(b->transport.pool->taken(), 0U);
  const auto next = a->transport.pool->Take();
  std::ranges::fill(Floats(next), 2.0F);
  std::optional<float> answer;
  b->loop.OnRequest("a", {1, next}, [&](const Message& said) {
    answer = Floats(said.payload)[0];
  });
  RunUntil([&] { return answer.has_value(); });
  EXPECT_EQ(answer, 8);
  EXPECT_EQ(b->value(), 5) << "held against the weights, not taken for a "
                              "difference";
}

TEST_F(ExchangePiecewiseTest, WhoIsNotTrustedIsNotAnsweredAhead) {
  Make(mixing::MakePairwise());
  Answers(*b);
  for (int i = 0; i < 20; ++i)
    b->neighbours.OnOffence("a", "not_finite", transport::Clock::now());
  const auto payload = b->transport.pool->Take();
  EXPECT_FALSE(b->loop.OnRequestBegin("a", {1, payload}, [](const auto&) {}));
  EXPECT_EQ(b->transport.pool->taken(), 1U);
}

}  // namespace
}  // namespace hearsay::daemon
