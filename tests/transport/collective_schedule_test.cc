// The schedules against a plain sum, by a simulator that knows nothing of how
// they were made: it only moves what they say, when they allow it.
#include "transport/collective/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "transport/collective/cost.h"
#include "transport/collective/plan.h"

namespace hearsay::transport::collective {
namespace {

using Array = std::vector<float>;

// Different for every member and element, and such that the order of additions
// shows in the last bits.
float Input(Rank rank, std::size_t i) {
  return std::ldexp(1.0F + 0.37F * static_cast<float>(i % 101),
                    static_cast<int>((rank * 7 + i) % 9)) /
         (3.0F + static_cast<float>(rank));
}

struct Traffic {
  std::size_t elements = 0, messages = 0;
};

struct Outcome {
  std::vector<Array> results;
  std::vector<Traffic> sent;
  std::uint32_t steps = 0;
};

// One message of each step after the other, all members in lockstep.
Outcome Simulate(Algorithm algorithm, Rank n, std::size_t count) {
  std::vector<Schedule> schedules;
  std::vector<Array> inputs(n, Array(count));
  Outcome outcome;
  outcome.results.assign(n, Array(count, std::nanf("")));
  outcome.sent.resize(n);
  for (Rank rank = 0; rank < n; ++rank) {
    schedules.push_back(MakeSchedule(algorithm, n, rank, count));
    for (std::size_t i = 0; i < count; ++i) inputs[rank][i] = Input(rank, i);
    for (const auto& send : schedules[rank].sends)
      outcome.steps = std::max(outcome.steps, send.step + 1);
    if (schedules[rank].receives.empty()) outcome.results[rank] = inputs[rank];
  }
  for (std::uint32_t step = 0; step < outcome.steps; ++step) {
    std::map<std::pair<Rank, Rank>, std::pair<Range, Array>> wire;
    for (Rank rank = 0; rank < n; ++rank)
      for (const auto& send : schedules[rank].sends) {
        if (send.step != step) continue;
        const Array& from =
            send.from == From::kInput ? inputs[rank] : outcome.results[rank];
        const auto begin = from.begin() + static_cast<long>(send.range.begin);
        const auto end = from.begin() + static_cast<long>(send.range.end);
        const bool only = wire.emplace(std::pair(rank, send.to),
                                       std::pair(send.range, Array(begin, end)))
                              .second;
        EXPECT_TRUE(only) << "two sends in one step";
        outcome.sent[rank].elements += send.range.size();
        ++outcome.sent[rank].messages;
      }
    for (Rank rank = 0; rank < n; ++rank)
      for (const auto& receive : schedules[rank].receives) {
        if (receive.step != step) continue;
        const auto found = wire.find({receive.from, rank});
        if (found == wire.end()) {
          ADD_FAILURE() << "nothing is sent for a receive";
          continue;
        }
        const auto& [range, bytes] = found->second;
        EXPECT_EQ(range, receive.range);
        Array& result = outcome.results[rank];
        for (std::size_t i = range.begin; i < range.end; ++i) {
          const float received = bytes[i - range.begin];
          result[i] = receive.action == Action::kCopy ? received
                      : receive.action == Action::kAddInput
                          ? inputs[rank][i] + received
                          : result[i] + received;
        }
        wire.erase(found);
      }
    EXPECT_TRUE(wire.empty()) << "a send that nobody receives";
  }
  return outcome;
}

bool SameBits(const Array& a, const Array& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) {
                      return std::bit_cast<std::uint32_t>(x) ==
                             std::bit_cast<std::uint32_t>(y);
                    });
}

class AllReduceTest : public testing::TestWithParam<Algorithm> {};
INSTANTIATE_TEST_SUITE_P(Algorithms, AllReduceTest,
                         testing::ValuesIn(kAllReduces),
                         [](const auto& tested) {
                           std::string name(Name(tested.param));
                           std::erase(name, '-');
                           return name;
                         });

TEST_P(AllReduceTest, GivesThePlainSumTheSameToTheBitAtEveryMember) {
  for (Rank n = 1; n <= 17; ++n)
    for (const std::size_t count : {0, 1, 2, 3, 5, 15, 16, 17, 33, 64, 1000}) {
      SCOPED_TRACE("n " + std::to_string(n) + " count " +
                   std::to_string(count));
      const auto outcome = Simulate(GetParam(), n, count);
      for (std::size_t i = 0; i < count; ++i) {
        double sum = 0;
        for (Rank rank = 0; rank < n; ++rank) sum += Input(rank, i);
        // All terms are positive: n - 1 roundings of half an ulp each.
        ASSERT_NEAR(outcome.results[0][i], sum, sum * n * 6e-8);
      }
      for (Rank rank = 1; rank < n; ++rank)
        ASSERT_TRUE(SameBits(outcome.results[rank], outcome.results[0]));
    }
}

TEST_P(AllReduceTest, SendsThePublishedNumberOfBytes) {
  for (Rank n = 2; n <= 17; ++n) {
    const std::size_t count = std::size_t{16} * n;  // divided evenly
    const auto outcome = Simulate(GetParam(), n, count);
    const std::size_t part = count / n * (n - 1);
    std::size_t all = 0, most_messages = 0;
    for (const auto& sent : outcome.sent) {
      all += sent.elements;
      most_messages = std::max(most_messages, sent.messages);
    }
    if (GetParam() == Algorithm::kHalvingDoubling) {
      const Rank power = std::bit_floor(n);
      const auto log2 = static_cast<std::uint32_t>(std::countr_zero(power));
      EXPECT_EQ(all, 2 * (power - 1) * count + 2 * (n - power) * count);
      EXPECT_EQ(outcome.steps, n == power ? 2 * log2 + 1 : 2 * log2 + 2);
      EXPECT_EQ(most_messages, n == power ? 2 * log2 : 2 * log2 + 1);
      continue;
    }
    if (GetParam() == Algorithm::kDoubling) {
      const Rank power = std::bit_floor(n);
      const auto log2 = static_cast<std::uint32_t>(std::countr_zero(power));
      EXPECT_EQ(all, log2 * power * count + 2 * (n - power) * count);
      EXPECT_EQ(outcome.steps, n == power ? log2 + 1 : log2 + 2);
      EXPECT_EQ(most_messages, n == power ? log2 : log2 + 1);
      continue;
    }
    EXPECT_EQ(all, 2 * part * n);
    for (const auto& sent : outcome.sent)
      EXPECT_EQ(sent.elements,
                n == 2 && GetParam() == Algorithm::kDirect ? count : 2 * part);
    EXPECT_EQ(outcome.steps, GetParam() == Algorithm::kRing ? 2 * (n - 1)
                             : n == 2                       ? 1
                                                            : 2);
  }
}

TEST(BroadcastTest, GivesTheFirstMembersArrayToAllInThePublishedSteps) {
  for (const auto algorithm : {Algorithm::kBinomial, Algorithm::kChain})
    for (Rank n = 1; n <= 17; ++n)
      for (const std::size_t count : {0, 1, 16, 1000}) {
        SCOPED_TRACE(std::string(Name(algorithm)) + " n " + std::to_string(n));
        const auto outcome = Simulate(algorithm, n, count);
        std::size_t all = 0;
        for (const auto& sent : outcome.sent) all += sent.elements;
        EXPECT_EQ(all, (n - 1) * count);
        const Rank steps =
            algorithm == Algorithm::kChain ? n - 1 : std::bit_width(n - 1);
        EXPECT_EQ(outcome.steps, count == 0 ? 0 : steps);
        for (Rank rank = 0; rank < n && count > 0; ++rank)
          for (std::size_t i = 0; i < count; ++i)
            ASSERT_EQ(outcome.results[rank][i], Input(0, i));
      }
}

// What the simulator moves in lockstep, the plan allows piece by piece: every
// piece that is received is planned for exactly once.
TEST(PlanTest, CutsSendsAndReceivesAtTheSamePlaces) {
  for (const auto algorithm :
       {Algorithm::kRing, Algorithm::kHalvingDoubling, Algorithm::kDoubling,
        Algorithm::kDirect, Algorithm::kBinomial, Algorithm::kChain})
    for (Rank n = 1; n <= 9; ++n)
      for (const std::size_t count : {0, 1, 7, 100, 1001}) {
        SCOPED_TRACE(std::string(Name(algorithm)) + " n " + std::to_string(n) +
                     " count " + std::to_string(count));
        std::vector<Plan> plans;
        for (Rank rank = 0; rank < n; ++rank)
          plans.emplace_back(algorithm, n, rank, count, 4, 64);
        std::vector<std::vector<int>> seen;
        for (const auto& plan : plans) seen.emplace_back(plan.pieces_in());
        for (Rank rank = 0; rank < n; ++rank)
          for (const auto& send : plans[rank].sends())
            for (std::size_t c = 0; c < send.cells; ++c) {
              const auto bytes = plans[rank].PieceOf(send, send.first_cell + c);
              ASSERT_GT(bytes.size(), 0U);
              ASSERT_LE(bytes.size(), 64U);
              const Plan& peer = plans[send.peer];
              const auto place = peer.Find(rank, send.step, bytes.begin);
              ASSERT_TRUE(place);
              ASSERT_EQ(peer.BytesOf(*place), bytes);
              ++seen[send.peer][peer.Number(*place)];
            }
        for (const auto& pieces : seen)
          for (const int times : pieces) ASSERT_EQ(times, 1);
      }
}

// Doubling sends whole sums while it adds to them.
TEST(PlanTest, WhatAStepSendsOfAPartLeavesBeforeThatPartChanges) {
  for (const auto algorithm : kAllReduces)
    for (Rank n = 1; n <= 9; ++n)
      for (Rank rank = 0; rank < n; ++rank) {
        SCOPED_TRACE(std::string(Name(algorithm)) + " n " + std::to_string(n));
        const Plan plan(algorithm, n, rank, 100, 4, 64);
        for (const auto& receive : plan.receives())
          for (std::size_t c = 0; c < receive.cells; ++c) {
            const auto cell = receive.first_cell + c;
            const auto bytes = plan.PieceOf(receive, cell);
            std::set<std::size_t> waited_for, needed;
            plan.AllSentBefore(receive, cell, [&](std::size_t number) {
              return waited_for.insert(number).second;
            });
            for (const auto& send : plan.sends())
              for (std::size_t s = 0; s < send.cells; ++s)
                if (send.step == receive.step && send.from == From::kResult &&
                    plan.PieceOf(send, send.first_cell + s).overlaps(bytes))
                  needed.insert(send.first_piece + s);
            ASSERT_EQ(waited_for, needed);
            ASSERT_TRUE(needed.empty() || algorithm == Algorithm::kDoubling);
          }
      }
}

TEST(PlanTest, FindsNothingThatIsNotPlanned) {
  const Plan plan(Algorithm::kRing, 4, 1, 1000, 4, 256);
  const auto& receive = plan.receives().front();
  ASSERT_TRUE(plan.Find(0, receive.step, receive.bytes.begin));
  EXPECT_FALSE(plan.Find(2, receive.step, receive.bytes.begin));
  EXPECT_FALSE(plan.Find(0, receive.step + 100, receive.bytes.begin));
  EXPECT_FALSE(plan.Find(0, receive.step, receive.bytes.begin + 4));
  EXPECT_FALSE(plan.Find(0, receive.step, receive.bytes.end));
  EXPECT_FALSE(plan.Find(0, receive.step, ~std::size_t{0}));
}

TEST(CostTest, PrefersFewStepsForShortArraysAndFewBytesForLongOnes) {
  const Link link;
  const std::size_t large = std::size_t{1} << 28;
  EXPECT_EQ(ChooseAllReduce(2, 64, link), Algorithm::kDirect);
  EXPECT_EQ(ChooseAllReduce(4, 65536, link), Algorithm::kDoubling);
  EXPECT_EQ(ChooseAllReduce(64, 64, link), Algorithm::kDoubling);
  EXPECT_EQ(ChooseAllReduce(64, 1U << 20, link), Algorithm::kHalvingDoubling);
  EXPECT_EQ(ChooseAllReduce(33, large, link), Algorithm::kRing);
  EXPECT_EQ(ChooseBroadcast(17, 64, link), Algorithm::kBinomial);
  EXPECT_EQ(ChooseBroadcast(17, large, link), Algorithm::kChain);
  // Closed form: 2 (n-1) alpha + 2 (n-1)/n M beta + (n-1)/n M gamma.
  const Link textbook{
      .latency = 1, .overhead = 0, .per_byte = 3, .per_summed = 5};
  EXPECT_DOUBLE_EQ(PredictSeconds(Algorithm::kRing, 4, 8, textbook),
                   2 * 3 + 2 * 0.75 * 8 * 3 + 0.75 * 8 * 5);
  EXPECT_EQ(PredictSeconds(Algorithm::kRing, 1, 8, textbook), 0);
  // log n (alpha + M beta + M gamma), and what six members have beside four:
  // 2 alpha + 2 M beta + M gamma.
  EXPECT_DOUBLE_EQ(PredictSeconds(Algorithm::kDoubling, 4, 8, textbook),
                   2 * (1 + 8 * 3 + 8 * 5));
  EXPECT_DOUBLE_EQ(PredictSeconds(Algorithm::kDoubling, 6, 8, textbook),
                   2 * (1 + 8 * 3 + 8 * 5) + 2 + 2 * 8 * 3 + 8 * 5);
}

TEST(CostTest, PiecesAreWholeFloatsWithinWhatTheNetworkCarries) {
  for (const std::size_t bytes : {0UL, 1UL, 65536UL, 1UL << 26, 1UL << 32})
    for (const std::size_t largest : {64UL, 1000UL, 1UL << 20}) {
      for (const auto algorithm : {Algorithm::kRing, Algorithm::kChain}) {
        const auto piece = ChoosePieceBytes(algorithm, bytes, largest);
        EXPECT_GT(piece, 0U);
        EXPECT_LE(piece, largest);
        EXPECT_EQ(piece % 64, 0U);
      }
    }
  const std::size_t mib = std::size_t{1} << 20;
  EXPECT_LT(ChoosePieceBytes(Algorithm::kChain, mib, mib),
            ChoosePieceBytes(Algorithm::kRing, mib, mib))
      << "a broadcast flows";
}

}  // namespace
}  // namespace hearsay::transport::collective
