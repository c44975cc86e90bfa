#include "daemon/exchange_pace.h"

#include <gtest/gtest.h>

#include <thread>

#include "daemon/cpu.h"

namespace hearsay::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A process whose seconds are written by the test.
class ExchangePaceTest : public testing::Test {
 protected:
  // One more second, in which all of it used `busy` cores, and `exchanges` took
  // `each` seconds of CPU beside what the network thread does anyway.
  void Second(ExchangePace& pace, double busy, std::uint64_t exchanges,
              double each, double overhead = 0) {
    if (use_.at == decltype(use_.at){}) pace.OnUse(use_);
    use_.at += seconds(1);
    use_.process_seconds += busy;
    use_.exchange_seconds += static_cast<double>(exchanges) * each + overhead;
    use_.exchanges += exchanges;
    pace.OnUse(use_);
  }

  CpuUse use_;
};

TEST_F(ExchangePaceTest, FollowsTheSlowerOfStepAndRoundTrip) {
  ExchangePace pace(std::nullopt, 2);
  EXPECT_EQ(pace.Proposed(), milliseconds(1)) << "the shortest";
  pace.SetCluster(milliseconds(20), Duration(0));
  EXPECT_EQ(pace.Proposed(), milliseconds(20));
  pace.OnRoundTrip(0.015);
  EXPECT_EQ(pace.Proposed(), milliseconds(30));
  pace.SetCluster(std::chrono::hours(1), Duration(0));
  EXPECT_EQ(pace.Proposed(), seconds(10)) << "the longest";
}

TEST_F(ExchangePaceTest, SaysHowMuchOfAnIntervalAnAnswerTakes) {
  ExchangePace pace(milliseconds(20), 2);
  EXPECT_EQ(pace.Delay(), std::nullopt) << "nobody has answered";
  pace.OnRoundTrip(0.005);
  EXPECT_DOUBLE_EQ(*pace.Delay(), 0.25);
  pace.OnRoundTrip(0.015);
  EXPECT_DOUBLE_EQ(*pace.Delay(), 0.3) << "a tenth of the way at a time";
  ExchangePace by_itself(std::nullopt, 2);
  by_itself.OnRoundTrip(0.005);
  EXPECT_DOUBLE_EQ(*by_itself.Delay(), 0.5) << "auto waits twice as long";
}

TEST_F(ExchangePaceTest, RulesThatNeedItTakeTheLargestProposed) {
  ExchangePace pace(std::nullopt, 2);
  pace.SetCluster(milliseconds(20), milliseconds(70));
  EXPECT_EQ(pace.Proposed(), milliseconds(20));
  EXPECT_EQ(pace.Common(), milliseconds(70));
  pace.SetCluster(milliseconds(20), std::chrono::hours(1));
  EXPECT_EQ(pace.Common(), seconds(10)) << "no peer's word stops the exchange";
}

TEST_F(ExchangePaceTest, WithoutAFreeCoreExchangesTakeAHundredthOfOne) {
  ExchangePace pace(std::nullopt, 1);
  pace.SetCluster(milliseconds(1), Duration(0));
  Second(pace, 0.95, 600, 0.35e-3);
  // One asked and one answered in 70 ms: 0.7 ms of CPU.
  EXPECT_EQ(pace.Proposed(), milliseconds(70));
}

TEST_F(ExchangePaceTest, AFreeCoreIsUsed) {
  ExchangePace pace(std::nullopt, 2);
  pace.SetCluster(milliseconds(1), Duration(0));
  Second(pace, 1.2, 600, 0.35e-3);
  EXPECT_EQ(pace.Proposed(), milliseconds(1));
  Second(pace, 1.9, 600, 0.35e-3);
  EXPECT_EQ(pace.Proposed(), milliseconds(70)) << "it is free no more";
  Second(pace, 1.2, 29, 0.35e-3);
  EXPECT_EQ(pace.Proposed(), milliseconds(1));
}

// Else: fewer exchanges, each dearer by the sums, so fewer still, to the end.
TEST_F(ExchangePaceTest, TheNetworksOwnWorkDoesNotDriveExchangesOut) {
  ExchangePace pace(std::nullopt, 1);
  pace.SetCluster(milliseconds(1), Duration(0));
  Second(pace, 1, 600, 0.35e-3, 0.02);
  const auto first = pace.Proposed();
  EXPECT_LT(first, milliseconds(80));
  for (int i = 0; i < 20; ++i) Second(pace, 1, 20, 0.35e-3, 0.02);
  EXPECT_EQ(pace.Proposed(), first);
}

TEST_F(ExchangePaceTest, AFewExchangesTellNothing) {
  ExchangePace pace(std::nullopt, 1);
  pace.SetCluster(milliseconds(5), Duration(0));
  Second(pace, 1, 2, 1e-3, 0.02);
  EXPECT_EQ(pace.Proposed(), milliseconds(5));
}

TEST_F(ExchangePaceTest, WhatIsConfiguredHolds) {
  ExchangePace pace(milliseconds(3), 1);
  pace.SetCluster(milliseconds(20), Duration(0));
  pace.OnRoundTrip(1);
  Second(pace, 1, 600, 0.35e-3);
  EXPECT_EQ(pace.Proposed(), milliseconds(3));
}

TEST(CpuTest, CountsWhatIsUsed) {
  EXPECT_GE(AvailableCores(), 0.01);
  EXPECT_LE(AvailableCores(), std::thread::hardware_concurrency());
  const double process = ProcessCpuSeconds(), thread = ThreadCpuSeconds();
  volatile double sink = 0;
  while (ThreadCpuSeconds() - thread < 0.02) sink = sink + 1;
  EXPECT_GE(ProcessCpuSeconds() - process, 0.02);
  std::thread([] { EXPECT_LT(ThreadCpuSeconds(), 0.02); }).join();
}

}  // namespace
}  // namespace hearsay::daemon
