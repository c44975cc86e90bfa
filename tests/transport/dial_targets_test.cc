#include "transport/dial_targets.h"

#include <gtest/gtest.h>

namespace hearsay::transport {
namespace {

using std::chrono::milliseconds;
using Clock = DialTargets::Clock;

const Clock::time_point kStart{};

class DialTargetsTest : public testing::Test {
 protected:
  bool IsDue(const std::string& address, Clock::time_point now) const {
    const auto due = targets_.Due(now);
    return std::find(due.begin(), due.end(), address) != due.end();
  }
  // How long after `now` the address is due again.
  milliseconds Wait(const std::string& address, Clock::time_point now) const {
    return std::chrono::duration_cast<milliseconds>(
        targets_.all().at(address).next - now);
  }

  DialTargets targets_{milliseconds(100), milliseconds(1000), 1};
};

TEST_F(DialTargetsTest, DialsAtOnceAndOnlyOnceAtATime) {
  targets_.AddConfigured("h:1");
  EXPECT_TRUE(IsDue("h:1", kStart));
  targets_.OnDialling("h:1");
  EXPECT_FALSE(IsDue("h:1", kStart + milliseconds(99999)));
}

TEST_F(DialTargetsTest, WaitsTwiceAsLongEachTimeUpToTheMaximumWithJitter) {
  targets_.AddConfigured("h:1");
  int full = 100;
  for (int attempt = 0; attempt < 8; ++attempt) {
    targets_.OnFailed("h:1", "refused", kStart);
    EXPECT_GE(Wait("h:1", kStart), milliseconds(full / 2)) << attempt;
    EXPECT_LE(Wait("h:1", kStart), milliseconds(full)) << attempt;
    full = std::min(2 * full, 1000);
  }
  targets_.OnConnected("h:1");
  targets_.OnFailed("h:1", "refused", kStart);
  EXPECT_LE(Wait("h:1", kStart), milliseconds(100));
}

TEST_F(DialTargetsTest, TwoNodesDoNotRetryInStep) {
  DialTargets other(milliseconds(100), milliseconds(1000), 2);
  int same = 0;
  for (int i = 0; i < 50; ++i) {
    const std::string address = "h:" + std::to_string(i + 1);
    targets_.AddConfigured(address);
    other.AddConfigured(address);
    targets_.OnRefused(address, "x", kStart);
    other.OnRefused(address, "x", kStart);
    if (targets_.all().at(address).next == other.all().at(address).next) ++same;
  }
  EXPECT_LT(same, 10);  // About 50/500 expected.
}

TEST_F(DialTargetsTest, ARefusedAddressIsRetriedWithoutHasteForEver) {
  targets_.AddConfigured("h:1");
  targets_.OnRefused("h:1", "another model", kStart);
  EXPECT_GE(Wait("h:1", kStart), milliseconds(500));
  EXPECT_TRUE(targets_.all().at("h:1").refused);
  EXPECT_TRUE(IsDue("h:1", kStart + milliseconds(1000)));
}

TEST_F(DialTargetsTest, OneThatLeftIsForgottenUnlessConfigured) {
  targets_.AddConfigured("h:1");
  targets_.OnIdentified("h:1", "b");
  targets_.AddLearned("h:2", "b");
  targets_.AddLearned("h:3", "c");
  targets_.OnLeft("b", kStart);
  EXPECT_TRUE(targets_.all().contains("h:1"));
  EXPECT_FALSE(targets_.all().contains("h:2"));
  EXPECT_TRUE(targets_.all().contains("h:3"));
  EXPECT_FALSE(IsDue("h:1", kStart));
  EXPECT_TRUE(IsDue("h:1", kStart + milliseconds(1000)));
}

TEST_F(DialTargetsTest, OneThatIsLostIsDialledSoon) {
  targets_.AddLearned("h:1", "b");
  targets_.OnRefused("h:1", "x", kStart);
  targets_.OnLost("b", kStart);
  EXPECT_TRUE(IsDue("h:1", kStart + milliseconds(100)));
}

TEST_F(DialTargetsTest, OneThatMovedIsNotSoughtWhereItWas) {
  targets_.AddLearned("h:1", "b");
  targets_.AddConfigured("h:2");
  targets_.OnIdentified("h:2", "b");
  targets_.OnMoved("b", "h:3");
  EXPECT_FALSE(targets_.all().contains("h:1"));
  EXPECT_TRUE(targets_.all().contains("h:2"));
}

TEST_F(DialTargetsTest, OthersCannotMakeItGrowWithoutBound) {
  for (int i = 0; i < 5000; ++i)
    targets_.AddLearned("h:" + std::to_string(i), "n" + std::to_string(i));
  EXPECT_LE(targets_.all().size(), 1024U);
  EXPECT_TRUE(targets_.AddConfigured("mine:1"));
  EXPECT_TRUE(targets_.all().contains("mine:1"));
  for (int i = 0; i < 5000; ++i)
    targets_.AddConfigured("m:" + std::to_string(i));
  EXPECT_EQ(targets_.all().size(), 1024U);
  EXPECT_FALSE(targets_.AddConfigured("x:1"));
  EXPECT_TRUE(targets_.AddConfigured("mine:1")) << "there already";
}

TEST_F(DialTargetsTest, NewsOfForgottenAddressesIsIgnored) {
  targets_.OnFailed("h:1", "x", kStart);
  targets_.OnRefused("h:1", "x", kStart);
  targets_.OnConnected("h:1");
  targets_.OnDialling("h:1");
  EXPECT_TRUE(targets_.all().empty());
}

}  // namespace
}  // namespace hearsay::transport
