// Push-sum on a scalar a node: what is conserved, whatever is lost.
#include <gtest/gtest.h>

#include <cmath>

#include <limits>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "daemon/mixing/rule.h"

namespace hearsay::mixing {
namespace {

// A node, and the sums that the rule keeps to itself, kept here by its words.
struct Node {
  std::unique_ptr<Rule> rule = MakePushSum();
  double value = 0;
  double mass = 1;
};

struct Message {
  std::size_t from, to;
  double value;
  Note note;
};

class PushSumTest : public testing::Test {
 protected:
  explicit PushSumTest(std::size_t n = 8) : nodes(n) {}

  // Value times mass, on all nodes and on the way or owed: the conserved sum.
  double Sum() const {
    double sum = 0;
    for (const auto& node : nodes) sum += node.mass * node.value;
    for (const auto& [link, debt] : owed)
      if (!Merged(debt)) sum += debt.note.mass * debt.value;
    return sum;
  }
  double Mass() const {
    double sum = 0;
    for (const auto& node : nodes) sum += node.mass;
    for (const auto& [link, debt] : owed)
      if (!Merged(debt)) sum += debt.note.mass;
    return sum;
  }

  bool Merged(const Message& message) const {
    const auto found = merged.find({message.from, message.to});
    return found != merged.end() && found->second >= message.note.sequence;
  }

  Message Send(std::size_t from, std::size_t to) {
    Node& node = nodes[from];
    const auto ask = node.rule->OnAsk(to);
    if (ask.again) {
      EXPECT_EQ(owed.at({from, to}).note.sequence, ask.note.sequence);
      return owed.at({from, to});
    }
    node.mass -= ask.note.mass;
    Message message{from, to, node.value, ask.note};
    owed[{from, to}] = message;
    return message;
  }
  void Arrive(const Message& message) {
    Node& node = nodes[message.to];
    const auto reply = node.rule->OnRequest(message.from, message.note);
    ASSERT_FALSE(reply.refused);
    node.value += static_cast<double>(reply.correction.gain) *
                  (message.value - node.value);
    node.rule->OnApplied(message.from, message.note);
    if (reply.correction.gain == 0) return;  // Seen before.
    node.mass += message.note.mass;
    merged[{message.from, message.to}] = message.note.sequence;
  }
  void Acknowledge(const Message& message) {
    nodes[message.from].rule->OnAnswer(message.to);
    owed.erase({message.from, message.to});
  }

  using Link = std::pair<std::size_t, std::size_t>;
  std::vector<Node> nodes;
  std::map<Link, Message> owed;
  std::map<Link, std::uint64_t> merged;
};

TEST_F(PushSumTest, ConservesTheSumWhateverIsLost) {
  std::mt19937_64 random(11);
  std::uniform_int_distribution<std::size_t> pick(0, nodes.size() - 1);
  std::bernoulli_distribution lost(0.2);
  std::normal_distribution<double> normal;
  for (auto& node : nodes) node.value = normal(random);
  double sum = Sum();
  for (int t = 0; t < 20000; ++t) {
    const auto i = pick(random);
    const double step = normal(random) * 1e-3;
    nodes[i].value += step;  // A gradient, which counts as the node's mass.
    sum += nodes[i].mass * step;
    const auto message = Send(i, (i + 1 + t % 3) % nodes.size());
    if (lost(random)) continue;
    Arrive(message);
    if (!lost(random)) Acknowledge(message);
  }
  // Gains are float32.
  EXPECT_NEAR(Sum(), sum, 1e-3);
  EXPECT_NEAR(Mass(), static_cast<double>(nodes.size()), 1e-9);
}

TEST_F(PushSumTest, EndsAtTheMeanOnADirectedRingUnderLoss) {
  std::mt19937_64 random(12);
  std::bernoulli_distribution lost(0.05);
  for (std::size_t i = 0; i < nodes.size(); ++i)
    nodes[i].value = static_cast<double>(i);
  for (int t = 0; t < 4000; ++t) {
    const auto i = static_cast<std::size_t>(t) % nodes.size();
    const auto message = Send(i, (i + 1) % nodes.size());
    if (lost(random)) continue;
    Arrive(message);
    if (!lost(random)) Acknowledge(message);
  }
  for (const auto& node : nodes) EXPECT_NEAR(node.value, 3.5, 1e-5);
}

TEST_F(PushSumTest, WhatWasNotAcknowledgedIsSentAgainAndMergedOnce) {
  nodes[0].value = 4;
  const auto first = Send(0, 1);
  EXPECT_EQ(first.note.mass, 0.5);
  Arrive(first);
  EXPECT_NEAR(nodes[1].value, 4.0 / 3, 1e-6);  // Masses 1/2 and 1.
  nodes[0].value = 8;
  const auto again = Send(0, 1);
  EXPECT_EQ(again.value, 4) << "what it was, not what it is";
  Arrive(again);
  EXPECT_NEAR(nodes[1].value, 4.0 / 3, 1e-6);
  Acknowledge(again);
  EXPECT_EQ(Send(0, 1).note.sequence, 2U);
}

TEST_F(PushSumTest, LinksAreOwedApart) {
  Send(0, 1);
  const auto other = nodes[0].rule->OnAsk(2);
  EXPECT_FALSE(other.again);
  EXPECT_EQ(other.note.mass, 0.25);
}

TEST_F(PushSumTest, ANoteThatNoHonestNodeSendsIsRefused) {
  const auto& rule = *nodes[0].rule;
  for (const double mass :
       {0.0, -1.0, 1e9, std::numeric_limits<double>::infinity(),
        std::numeric_limits<double>::quiet_NaN()})
    EXPECT_TRUE(rule.OnRequest(1, {1, mass}).refused) << mass;
  EXPECT_TRUE(rule.OnRequest(1, {0, 0.5}).refused);
  EXPECT_FALSE(rule.OnRequest(1, {1, 0.5}).refused);
}

}  // namespace
}  // namespace hearsay::mixing
