// The rules against the published mathematics of the ring (mixing.md 1 and 3).
#include "daemon/mixing/rule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <numeric>
#include <random>
#include <vector>

namespace hearsay::mixing {
namespace {

using Values = std::vector<double>;

// All nodes ask the next one at the same moment, answers come at once. With
// `one_way` this is the matrix W = (I + P)/2.
Values SynchronousRound(const Rule& rule, const Values& w) {
  const std::size_t n = w.size();
  Values next = w;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t j = (i + n - 1) % n;
    const double difference = w[j] - w[i];
    next[i] += static_cast<double>(rule.ask_gain()) * difference;
    next[j] -= static_cast<double>(rule.answer_gain()) * difference;
  }
  return next;
}

double Disagreement(const Values& w) {
  const double mean =
      std::accumulate(w.begin(), w.end(), 0.0) / static_cast<double>(w.size());
  double sum = 0;
  for (const double v : w) sum += (v - mean) * (v - mean);
  return std::sqrt(sum);
}

TEST(OneWayTest, ReproducesTheThreeWorkerTable) {
  const auto rule = MakeOneWay();
  // Worker A hears C, B hears A, C hears B.
  const double a = 1;
  const double b = 10;
  const double c = 100;
  Values w = {a, b, c};
  w = SynchronousRound(*rule, SynchronousRound(*rule, w));
  EXPECT_DOUBLE_EQ(w[0], (a + 2 * c + b) / 4);
}

TEST(OneWayTest, DisagreementDecaysAsTheCosineOfPiOverN) {
  const auto rule = MakeOneWay();
  // Rounds to 1e-3, from the table.
  const std::vector<std::pair<std::size_t, int>> table = {
      {3, 10}, {4, 20}, {8, 87}, {16, 356}, {32, 1431}, {64, 5731}};
  for (const auto& [n, rounds] : table) {
    // The slowest mode, so that the decay is rho^t from the first round on.
    Values w(n);
    for (std::size_t i = 0; i < n; ++i)
      w[i] =
          std::cos(2 * M_PI * static_cast<double>(i) / static_cast<double>(n));
    const double start = Disagreement(w);
    for (int t = 0; t < rounds; ++t) w = SynchronousRound(*rule, w);
    // The table rounds to whole rounds, so it is off by less than one.
    const double rho = std::cos(M_PI / static_cast<double>(n));
    EXPECT_GT(Disagreement(w) / start, 1e-3 * rho) << "n = " << n;
    EXPECT_LT(Disagreement(w) / start, 1e-3 / rho) << "n = " << n;
  }
}

TEST(PairwiseTest, TwoNodesMeetInTheMiddle) {
  const auto rule = MakePairwise();
  double i = 2;
  double j = 8;
  const double difference = j - i;
  i += static_cast<double>(rule->ask_gain()) * difference;
  j -= static_cast<double>(rule->answer_gain()) * difference;
  EXPECT_EQ(i, 5);
  EXPECT_EQ(j, 5);
}

// Exchanges in flight for a random time, interleaved with each other and with
// updates: the sum moves by the updates and by nothing else.
TEST(PairwiseTest, ConservesTheMeanWhateverTheDelay) {
  const auto rule = MakePairwise();
  struct Answer {
    std::size_t to;
    double theirs, mine;
    int due;
  };
  std::mt19937_64 random(7);
  std::uniform_int_distribution<std::size_t> pick(0, 6);
  std::uniform_int_distribution<int> delay(0, 40);
  std::normal_distribution<double> update;
  Values w(7);
  for (double& v : w) v = update(random);
  double sum = std::accumulate(w.begin(), w.end(), 0.0);
  std::deque<Answer> flying;
  for (int t = 0; t < 20000; ++t) {
    const std::size_t i = pick(random);
    const std::size_t j = (i + 1) % w.size();
    const double mine = w[i];
    const double step = update(random);  // i trains on while it waits
    w[i] += step;
    sum += step;
    const double theirs = w[j];
    w[j] += static_cast<double>(rule->answer_gain()) * (mine - theirs);
    flying.push_back({i, theirs, mine, t + delay(random)});
    for (std::size_t k = flying.size(); k-- > 0;) {
      if (flying[k].due > t) continue;
      w[flying[k].to] += static_cast<double>(rule->ask_gain()) *
                         (flying[k].theirs - flying[k].mine);
      flying.erase(flying.begin() + static_cast<std::ptrdiff_t>(k));
    }
  }
  for (const auto& answer : flying)
    w[answer.to] +=
        static_cast<double>(rule->ask_gain()) * (answer.theirs - answer.mine);
  EXPECT_NEAR(std::accumulate(w.begin(), w.end(), 0.0), sum, 1e-8);
}

TEST(RuleTest, SaysWhatTravels) {
  EXPECT_TRUE(MakePairwise()->AskCarriesSnapshot());
  EXPECT_FALSE(MakeOneWay()->AskCarriesSnapshot());
  EXPECT_TRUE(MakePairwise()->Asks());
  EXPECT_TRUE(MakeOneWay()->Asks());
  EXPECT_FALSE(MakeNone()->Asks());
}

TEST(RuleTest, OnlyOneWayNeedsACommonInterval) {
  EXPECT_FALSE(MakePairwise()->NeedsCommonInterval());
  EXPECT_TRUE(MakeOneWay()->NeedsCommonInterval());
}

TEST(NoneTest, AddsNothingOnEitherSide) {
  EXPECT_EQ(MakeNone()->ask_gain(), 0.0F);
  EXPECT_EQ(MakeNone()->answer_gain(), 0.0F);
}

}  // namespace
}  // namespace hearsay::mixing
