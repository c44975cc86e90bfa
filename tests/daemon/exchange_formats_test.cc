// What travels in an exchange: formats of the wire, the twin of momentum, and
// what is beyond the clip.
#include "daemon/exchange_loop.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "daemon/mixing/momentum.h"
#include "tests/daemon/exchange_scene.h"

namespace hearsay::daemon {
namespace {

using namespace std::chrono_literals;
using transport::Message;

class ExchangeFormatsTest : public ExchangeScene {};

class ExchangeWireTest : public ExchangeFormatsTest,
                         public testing::WithParamInterface<const char*> {};

TEST_P(ExchangeWireTest, PairwiseMeetsInTheMiddleAndConservesTheSum) {
  options.passes.wire = GetParam();
  Make(mixing::MakePairwise());
  std::vector<float> start(kLength);
  std::iota(start.begin(), start.end(), -20.0F);
  a->weights.Assign(start);
  a->loop.Start();
  b->loop.Start();
  std::vector<float> at_a(kLength), at_b(kLength);
  const auto far = [&] {
    a->weights.Snapshot(at_a);
    b->weights.Snapshot(at_b);
    double most = 0;
    for (std::size_t i = 0; i < kLength; ++i)
      most = std::max(most, std::abs(double{at_a[i]} - double{at_b[i]}));
    return most;
  };
  // What is left is a step of the format.
  RunUntil([&] { return far() < 0.5; });
  EXPECT_LT(far(), 0.5);
  for (LoopSide* side : {a.get(), b.get()})
    side->neighbours.Update({}, transport::Clock::now());
  RunFor(50ms);  // What is on its way comes to its end.
  far();
  for (std::size_t i = 0; i < kLength; ++i)
    EXPECT_NEAR(at_a[i] + at_b[i], start[i] + 8, 2e-3) << i;
  EXPECT_EQ(a->transport.pool->bytes_each(),
            mixing::ParseWire(GetParam())->Bytes(kLength));
}

TEST_P(ExchangeWireTest, MomentumConservesTheSumOverBothArrays) {
  options.passes.wire = GetParam();
  options.interval = Duration(40ms);  // Answers are quick on a busy machine.
  Make(mixing::MakePairwiseAcid());
  std::vector<float> start(kLength);
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
  for (LoopSide* side : {a.get(), b.get()})
    side->neighbours.Update({}, transport::Clock::now());
  RunFor(50ms);  // What is on its way comes to its end.
  std::vector<float> at_a(kLength), twin_a(kLength), at_b(kLength),
      twin_b(kLength);
  a->weights.SnapshotBoth(at_a, twin_a);
  b->weights.SnapshotBoth(at_b, twin_b);
  for (std::size_t i = 0; i < kLength; ++i)
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

TEST_F(ExchangeFormatsTest, AnotherFormatGivesAllWhenAskedForThem) {
  options.passes.wire = "int8";
  Make(mixing::MakePairwise());
  Answers(*b);
  Message got;
  b->loop.OnRequest("a", {0, nullptr}, [&](Message m) { got = std::move(m); });
  RunUntil([&] { return got.payload != nullptr; });
  std::vector<float> said(kLength);
  EXPECT_EQ(mixing::ParseWire("int8")->Decode(*got.payload, said),
            std::nullopt);
  EXPECT_NEAR(said[kLength - 1], 8, 0.1);
}

TEST_F(ExchangeFormatsTest,
       AFormatThatSaysSomeWeightsGivesNoneToWhoAsksForAll) {
  options.passes.wire = "topk:0.1";
  Make(mixing::MakePairwise());
  Answers(*b);
  std::optional<Message> got;
  b->loop.OnRequest("a", {0, nullptr}, [&](Message m) { got = std::move(m); });
  ASSERT_TRUE(got);
  EXPECT_EQ(got->payload, nullptr) << "declined";
  EXPECT_EQ(Of(*b, "a").malformed, 0U) << "that is no offence";
}

TEST_F(ExchangeFormatsTest, WhatIsBeyondTheClipIsScaledIfThatIsAskedFor) {
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

TEST_F(ExchangeFormatsTest, MomentumMovesTheTwinByTheGainOfTheAsker) {
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
  a->weights.Assign(std::vector<float>(kLength, 0));
  b->weights.Assign(std::vector<float>(kLength, 8));
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

TEST_F(ExchangeFormatsTest, MomentumIsOffWhereAnswersTakeHalfAnInterval) {
  options.interval = Duration(20ms);
  Make(mixing::MakePairwiseAcid());
  a->loop.SetPlace({.place = 0, .members = 8});
  a->transport.delay = 6ms;  // Each way.
  StartAsking();
  RunUntil([&] { return Of(*a, "b").ok >= 3; });
  EXPECT_EQ(a->loop.eta(), 0);
  EXPECT_EQ(b->both().first, b->both().second);
}

TEST_F(ExchangeFormatsTest, WhatIsNotLetInMovesNeitherArray) {
  Make(mixing::MakePairwiseAcid());
  a->transport.spoil = true;
  b->weights.Assign(
      std::vector<float>(kLength, 0));  // So only a is told apart.
  a->loop.SetPlace({.place = 0, .members = 8});
  StartAsking();
  RunUntil([&] { return Of(*a, "b").not_finite > 0; });
  EXPECT_EQ(a->both(), std::pair(0.0F, 0.0F));
  const auto send = [&](float value, double gain) {
    const auto payload = a->transport.pool->Take();
    std::fill_n(Floats(payload).begin(), kLength, value);
    const mixing::Note note{.twin_gain = gain};
    std::memcpy(payload->data() + kLength * sizeof(float), &note, sizeof note);
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

TEST_F(ExchangeFormatsTest, TheClipBoundsTheTwinToo) {
  // Half of 8 in 64 elements moves the weights by 32; the twin by more.
  for (const bool scale : {false, true}) {
    options.passes.clip = 32.1;
    options.passes.scale_to_clip = scale;
    Make(mixing::MakePairwiseAcid());
    Answers(*b);
    const auto payload = a->transport.pool->Take();
    std::fill_n(Floats(payload).begin(), kLength, 0.0F);
    const mixing::Note note{.twin_gain = 1};
    std::memcpy(payload->data() + kLength * sizeof(float), &note, sizeof note);
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

}  // namespace
}  // namespace hearsay::daemon
