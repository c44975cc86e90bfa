#include "daemon/ring_chart.h"

#include <gtest/gtest.h>

namespace hearsay::daemon {
namespace {

using Names = std::vector<std::string>;
using std::chrono::seconds;

const Names kMembers = {"a", "b", "c", "d"};

LinkReport Out(const std::string& peer, double took) {
  LinkReport link;
  link.peer = peer;
  link.direction = "out";
  link.round_trip_seconds = took;
  return link;
}

class RingChartTest : public testing::Test {
 protected:
  // a and c are near each other, and b and d.
  void Measure(double near, double far) {
    chart_.Note("a", {Out("b", far), Out("c", near), Out("d", far)});
    chart_.Note("b", {Out("d", near)});
    chart_.Note("c", {Out("b", far), Out("d", far)});
  }
  RingChart chart_;
  RingChart::Time now_{};
};

TEST_F(RingChartTest, ByNameWhileNothingIsKnown) {
  EXPECT_EQ(chart_.Decide(kMembers, now_), kMembers);
}

TEST_F(RingChartTest, NeighboursAreNear) {
  chart_.Decide(kMembers, now_);
  Measure(0.001, 0.1);
  const auto order = chart_.Decide(kMembers, now_ + seconds(6));
  EXPECT_TRUE(order == (Names{"a", "c", "b", "d"}) ||
              order == (Names{"a", "c", "d", "b"}) ||
              order == (Names{"a", "b", "d", "c"}) ||
              order == (Names{"a", "d", "b", "c"}));
}

TEST_F(RingChartTest, IsThoughtOverNowAndThenAndKeptUnlessClearlyWorse) {
  Measure(0.001, 0.1);
  const auto order = chart_.Decide(kMembers, now_);
  Measure(0.1, 0.001);
  EXPECT_EQ(chart_.Decide(kMembers, now_ + seconds(1)), order);
  Measure(0.0011, 0.001);
  EXPECT_EQ(chart_.Decide(kMembers, now_ + seconds(6)), order);
  Measure(0.1, 0.001);
  EXPECT_NE(chart_.Decide(kMembers, now_ + seconds(12)), order);
}

TEST_F(RingChartTest, IsOfTheMembersThatThereAre) {
  Measure(0.001, 0.1);
  chart_.Decide(kMembers, now_);
  EXPECT_EQ(chart_.Decide({"a", "c", "d"}, now_ + seconds(1)).size(), 3U);
  EXPECT_EQ(chart_.Decide({"a"}, now_ + seconds(1)), (Names{"a"}));
}

TEST_F(RingChartTest, WhatWasNotMeasuredCountsForNothing) {
  chart_.Note("a", {Out("c", 0), Out("b", -1)});
  EXPECT_EQ(chart_.Decide(kMembers, now_), kMembers);
}

}  // namespace
}  // namespace hearsay::daemon
