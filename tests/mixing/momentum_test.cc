// Momentum of the ring: its constants against hand-made ones, its blend against
// the differential equation, and what no delay and no difference between two
// nodes' paces may move.
#include "daemon/mixing/momentum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "daemon/mixing/rule.h"

namespace hearsay::mixing {
namespace {

constexpr Peer kPeer = 7;

TEST(AcidTest, HasTheConstantsOfTheRing) {
  // Of four: least positive eigenvalue 2, an edge beside the other three has a
  // resistance of 3/4, so chi1 = 1/2 and chi2 = 3/8.
  EXPECT_NEAR(RingAcid(4).eta, 2 / std::sqrt(3), 1e-12);
  EXPECT_NEAR(RingAcid(4).gain, 1 / std::sqrt(3), 1e-12);
  // Of six: 1 and 5/6, so chi1 = 1 and chi2 = 5/12.
  EXPECT_NEAR(RingAcid(6).eta, std::sqrt(0.6), 1e-12);
  EXPECT_NEAR(RingAcid(6).gain, std::sqrt(0.6), 1e-12);
  EXPECT_EQ(RingAcid(2).eta, 0);
  EXPECT_EQ(RingAcid(2).gain, 0.5);
}

TEST(AcidTest, IsOffFromHalfAnIntervalOfDelayOn) {
  const Acid full = RingAcid(8);
  EXPECT_EQ(Scaled(full, 0).eta, full.eta);
  EXPECT_EQ(Scaled(full, 0).gain, full.gain);
  EXPECT_NEAR(Scaled(full, 0.25).eta, full.eta / 2, 1e-12);
  EXPECT_NEAR(Scaled(full, 0.25).gain - 0.5, (full.gain - 0.5) / 2, 1e-12);
  for (const double delay : {0.5, 0.9, 100.0}) {
    EXPECT_EQ(Scaled(full, delay).eta, 0);
    EXPECT_EQ(Scaled(full, delay).gain, 0.5);
  }
}

TEST(AcidTest, TheBlendIsTheEquationsAndItsPartsMakeAWhole) {
  const double eta = 0.58, time = 1.3;
  double x = 1, twin = 5;  // dx = eta (x~ - x) dt, dx~ = eta (x - x~) dt
  constexpr int kSteps = 1'000'000;
  for (int i = 0; i < kSteps; ++i) {
    const double by = eta * (twin - x) * time / kSteps;
    x += by;
    twin -= by;
  }
  const double share = BlendShare(eta, time);
  EXPECT_NEAR(1 + share * 4, x, 1e-5);
  const double half = BlendShare(eta, time / 2);
  EXPECT_NEAR(1 - 2 * share, (1 - 2 * half) * (1 - 2 * half), 1e-12);
  EXPECT_EQ(BlendShare(eta, 0), 0);
  EXPECT_EQ(BlendShare(0, 1e9), 0);
  EXPECT_NEAR(BlendShare(eta, 1e9), 0.5, 1e-12);
}

TEST(PairwiseAcidTest, IsOffUntilAPaceIsMeasured) {
  const auto rule = MakePairwiseAcid();
  EXPECT_EQ(rule->eta(), 0);
  rule->OnPace({.members = 8});
  EXPECT_EQ(rule->eta(), 0) << "no answer has come yet";
  EXPECT_EQ(rule->OnAsk(kPeer).note.twin_gain, 0.5);
  rule->OnPace({.members = 8, .delay = 0.1});
  EXPECT_NEAR(rule->eta(), 0.8 * RingAcid(8).eta, 1e-12);
}

TEST(PairwiseAcidTest, BothEndsUseTheGainThatWasAskedWith) {
  const auto asker = MakePairwiseAcid();
  const auto answerer = MakePairwiseAcid();
  asker->OnPace({.members = 8, .delay = 0.1});
  answerer->OnPace({.members = 5, .delay = 0.3});
  const auto ask = asker->OnAsk(kPeer);
  const auto reply = answerer->OnRequest(kPeer, ask.note);
  EXPECT_FALSE(reply.refused);
  asker->OnPace({.members = 3, .delay = 0.4});  // While it is on its way.
  const auto answer = asker->OnAnswer(kPeer);
  EXPECT_EQ(reply.correction.gain, answer.gain);
  EXPECT_EQ(reply.correction.twin_gain, answer.twin_gain);
  EXPECT_NEAR(answer.twin_gain, Scaled(RingAcid(8), 0.1).gain, 1e-6);
}

TEST(PairwiseAcidTest, RefusesAGainOfNoHonestNode) {
  const auto rule = MakePairwiseAcid();
  for (const double gain :
       {0.0, 0.4999, -1.0, 1e9, std::numeric_limits<double>::infinity(),
        std::numeric_limits<double>::quiet_NaN()})
    EXPECT_TRUE(rule->OnRequest(kPeer, {.twin_gain = gain}).refused) << gain;
  EXPECT_FALSE(rule->OnRequest(kPeer, {.twin_gain = 0.5}).refused);
}

// Seven nodes of different paces, each blending on its own clock, with
// exchanges in flight for a random time: over both arrays the sum moves by what
// was trained, twice, and by nothing else.
TEST(PairwiseAcidTest, ConservesTheSumOfBothArraysWhateverTheDelay) {
  struct Node {
    std::unique_ptr<Rule> rule = MakePairwiseAcid();
    double x = 0, twin = 0, blended = 0;
  };
  struct Exchange {
    std::size_t from;
    double theirs, mine;
    int due;
  };
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> chance;
  std::uniform_int_distribution<std::size_t> pick(0, 6);
  std::uniform_int_distribution<int> delay(0, 40);
  std::normal_distribution<double> update;
  std::vector<Node> nodes(7);
  double sum = 0;
  for (auto& node : nodes) {
    node.rule->OnPace({.members = nodes.size(), .delay = chance(random) / 2});
    sum += 2 * (node.x = node.twin = update(random));
  }
  const auto blend = [](Node& node, double now) {
    const double by =
        BlendShare(node.rule->eta(), now - node.blended) * (node.twin - node.x);
    node.x += by;
    node.twin -= by;
    node.blended = now;
  };
  const auto correct = [](Node& node, const Correction& by, double difference) {
    node.x += static_cast<double>(by.gain) * difference;
    node.twin += static_cast<double>(by.twin_gain) * difference;
  };
  std::deque<Exchange> flying;
  for (int t = 0; t < 20000; ++t) {
    const double now = t / 7.0;
    const std::size_t i = pick(random);
    const bool asks = std::none_of(flying.begin(), flying.end(),
                                   [&](const auto& e) { return e.from == i; });
    blend(nodes[i], now);
    const double mine = nodes[i].x;
    const double step = update(random);
    nodes[i].x += step;
    nodes[i].twin += step;
    sum += 2 * step;
    if (asks) {
      auto& peer = nodes[(i + 1) % nodes.size()];
      const auto ask = nodes[i].rule->OnAsk(kPeer);
      blend(peer, now);
      const double theirs = peer.x;
      correct(peer, peer.rule->OnRequest(kPeer, ask.note).correction,
              mine - theirs);
      flying.push_back({i, theirs, mine, t + delay(random)});
    }
    std::erase_if(flying, [&](const Exchange& e) {
      if (e.due > t && t < 19999) return false;
      auto& node = nodes[e.from];
      blend(node, now);
      correct(node, node.rule->OnAnswer(kPeer), e.theirs - e.mine);
      return true;
    });
  }
  double both = 0;
  for (const auto& node : nodes) both += node.x + node.twin;
  EXPECT_NEAR(both, sum, 1e-7);
}

}  // namespace
}  // namespace hearsay::mixing
