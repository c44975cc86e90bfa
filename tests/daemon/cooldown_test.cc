#include "daemon/cooldown.h"

#include <gtest/gtest.h>

#include <string>

namespace hearsay::daemon {
namespace {

using namespace std::chrono_literals;

constexpr CooldownTerms kTerms{
    .strikes = 3, .window = 60s, .first = 10s, .longest = 80s};

class CooldownTest : public testing::Test {
 protected:
  // Strikes until the peer is aside; how many it took.
  int SetAside() {
    int strikes = 1;
    while (!cooldown.Strike("b", "why", now)) ++strikes;
    return strikes;
  }
  auto Until() const { return cooldown.Find("b", now)->until; }

  Cooldown::Time now = Cooldown::Time{} + 1h;
  Cooldown cooldown{kTerms};
};

TEST_F(CooldownTest, ThreeStrikesInTheWindowSetAPeerAsideAndSayWhy) {
  EXPECT_FALSE(cooldown.Strike("b", "one", now));
  EXPECT_FALSE(cooldown.Strike("b", "two", now + 1s));
  EXPECT_FALSE(cooldown.Find("b", now + 1s));
  EXPECT_TRUE(cooldown.Strike("b", "three", now + 60s));
  const auto aside = cooldown.Find("b", now + 60s);
  ASSERT_TRUE(aside);
  EXPECT_EQ(aside->reason, "three");
  EXPECT_EQ(aside->times, 1U);
  EXPECT_EQ(aside->until, now + 70s);
  EXPECT_FALSE(cooldown.Find("c", now + 60s)) << "another peer";
  EXPECT_FALSE(cooldown.Find("b", now + 70s)) << "let in again";
}

TEST_F(CooldownTest, RareStrikesNeverAddUp) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(cooldown.Strike("b", "rare", now));
    now += 31s;  // Two in a window of sixty seconds, never three.
  }
}

TEST_F(CooldownTest, OnProbationOneStrikeIsEnoughAndTheTimeDoublesToACap) {
  EXPECT_EQ(SetAside(), 3);
  EXPECT_EQ(Until() - now, 10s);
  for (const auto time : {20s, 40s, 80s, 80s, 80s}) {
    now = Until();
    EXPECT_EQ(SetAside(), 1);
    EXPECT_EQ(Until() - now, time);
  }
  EXPECT_EQ(cooldown.times("b"), 6U);
}

TEST_F(CooldownTest, StrikesWhileAsideChangeNothing) {
  SetAside();
  const auto until = Until();
  for (int i = 0; i < 50; ++i)
    EXPECT_FALSE(cooldown.Strike("b", "more", now + 1s));
  EXPECT_EQ(cooldown.Find("b", now + 1s)->until, until);
}

TEST_F(CooldownTest, GoodBehaviourForAsLongAsTheLastTimeEndsProbation) {
  SetAside();
  now = Until();
  for (int i = 0; i <= 10; ++i) cooldown.Praise("b", now + i * 1s);
  now += 11s;
  EXPECT_FALSE(cooldown.Strike("b", "one", now)) << "as if it were the first";
}

TEST_F(CooldownTest, SilenceEarnsNothing) {
  SetAside();
  now = cooldown.Find("b", now)->until + 24h;
  EXPECT_TRUE(cooldown.Strike("b", "one", now));
  EXPECT_EQ(Until(), now + 20s);
}

TEST_F(CooldownTest, GoodMessagesBetweenBadOnesDoNotHideThem) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(cooldown.Strike("b", "bad", now));
    for (int good = 0; good < 100; ++good) cooldown.Praise("b", now);
  }
  EXPECT_TRUE(cooldown.Strike("b", "bad", now));
}

TEST_F(CooldownTest, InARowMeansInARow) {
  auto terms = kTerms;
  terms.in_a_row = true;
  Cooldown in_a_row(terms);
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(in_a_row.Strike("b", "late", now));
    EXPECT_FALSE(in_a_row.Strike("b", "late", now));
    in_a_row.Praise("b", now);
  }
  in_a_row.Strike("b", "late", now);
  in_a_row.Strike("b", "late", now);
  EXPECT_TRUE(in_a_row.Strike("b", "late", now));
}

TEST_F(CooldownTest, ItsMemoryIsBounded) {
  // Ten thousand names that are let in again, one that is aside.
  SetAside();
  for (int i = 0; i < 10000; ++i)
    cooldown.Strike("n" + std::to_string(i), "x", now);
  EXPECT_TRUE(cooldown.Find("b", now)) << "who is aside stays aside";
  EXPECT_LE(cooldown.size(), 1025U);
}

}  // namespace
}  // namespace hearsay::daemon
