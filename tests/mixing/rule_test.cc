// The rules against the published mathematics of the ring (mixing.md 1 and 3).
#include "daemon/mixing/rule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "daemon/mixing/topology.h"

namespace hearsay::mixing {
namespace {

using Values = std::vector<double>;

constexpr Peer kPeer = 7;

double AskGain(Rule& rule) {
  return static_cast<double>(rule.OnAnswer(kPeer).gain);
}
double AnswerGain(const Rule& rule) {
  return static_cast<double>(rule.OnRequest(kPeer, {}).correction.gain);
}

// All nodes ask the next one at the same moment, answers come at once. With
// `one_way` this is the matrix W = (I + P)/2.
Values SynchronousRound(Rule& rule, const Values& w) {
  const std::size_t n = w.size();
  Values next = w;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t j = (i + n - 1) % n;
    const double difference = w[j] - w[i];
    next[i] += AskGain(rule) * difference;
    next[j] -= AnswerGain(rule) * difference;
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
  i += AskGain(*rule) * difference;
  j -= AnswerGain(*rule) * difference;
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
    w[j] += AnswerGain(*rule) * (mine - theirs);
    flying.push_back({i, theirs, mine, t + delay(random)});
    for (std::size_t k = flying.size(); k-- > 0;) {
      if (flying[k].due > t) continue;
      w[flying[k].to] += AskGain(*rule) * (flying[k].theirs - flying[k].mine);
      flying.erase(flying.begin() + static_cast<std::ptrdiff_t>(k));
    }
  }
  for (const auto& answer : flying)
    w[answer.to] += AskGain(*rule) * (answer.theirs - answer.mine);
  EXPECT_NEAR(std::accumulate(w.begin(), w.end(), 0.0), sum, 1e-8);
}

TEST(RuleTest, SaysWhatTravelsAndWhen) {
  using Asks = Habits::Asks;
  struct Row {
    RuleKind kind;
    Asks asks;
    Carries ask;
    bool answer;
  };
  for (const auto& row : std::initializer_list<Row>{
           {RuleKind::kPairwise, Asks::kOnClock, Carries::kSnapshot, true},
           {RuleKind::kOneWay, Asks::kOnClock, Carries::kNothing, true},
           {RuleKind::kPushSum, Asks::kOnClock, Carries::kSnapshot, false},
           {RuleKind::kNaiveNewest, Asks::kOnClock, Carries::kSnapshot, false},
           {RuleKind::kNone, Asks::kNever, Carries::kNothing, true},
           {RuleKind::kSymmetricBlocking, Asks::kAfterStep, Carries::kSnapshot,
            true},
           {RuleKind::kParameterServer, Asks::kAfterStep, Carries::kChange,
            true},
           {RuleKind::kAllReduce, Asks::kNever, Carries::kNothing, true},
           {RuleKind::kLocalSgd, Asks::kNever, Carries::kNothing, true}}) {
    const auto habits = MakeRule(row.kind)->habits();
    EXPECT_EQ(habits.asks, row.asks) << Word(row.kind);
    EXPECT_EQ(habits.ask_carries, row.ask) << Word(row.kind);
    EXPECT_EQ(habits.answer_carries, row.answer) << Word(row.kind);
  }
}

TEST(RuleTest, WhoAsksInBothDirectionsIsNeverAskedAndNobodyIsLeftOut) {
  const auto habits = MakeRule(RuleKind::kSymmetricBlocking)->habits();
  for (std::size_t n = 2; n <= 9; ++n) {
    const auto ring = MakeTopology(
        TopologyKind::kRing, {.count = n, .both_ways = habits.every_other});
    std::set<std::size_t> asking;
    std::set<std::size_t> asked;
    for (std::size_t self = 0; self < n; ++self) {
      if (!habits.MayAsk(self, n)) continue;
      asking.insert(self);
      for (const std::uint64_t round : {0, 1})
        asked.insert(*ring->Peer(self, round));
    }
    EXPECT_EQ(asking.size(), n / 2) << n;
    EXPECT_EQ(asking.size() + asked.size(), n) << n;
    for (const auto member : asking) EXPECT_FALSE(asked.contains(member)) << n;
  }
  EXPECT_TRUE(MakeRule(RuleKind::kPairwise)->habits().MayAsk(2, 3));
}

TEST(RuleTest, OnlyMomentumHasATwin) {
  for (const auto& word : RuleWords())
    for (const auto momentum : {Momentum::kOff, Momentum::kAcid})
      EXPECT_EQ(
          MakeRule(*ParseRule(word), {.momentum = momentum})->habits().has_twin,
          word == "pairwise" && momentum == Momentum::kAcid)
          << word;
}

TEST(RuleTest, OnlyOneWayNeedsACommonInterval) {
  for (const auto& word : RuleWords())
    EXPECT_EQ(MakeRule(*ParseRule(word))->habits().common_interval,
              word == "one_way")
        << word;
}

TEST(RuleTest, IsMadeByItsName) {
  for (const auto& word : RuleWords())
    EXPECT_EQ(MakeRule(*ParseRule(word))->name(), word);
  EXPECT_EQ(ParseRule("pairwise "), std::nullopt);
}

TEST(RuleTest, TheSynchronousOnesMeet) {
  using Meets = Habits::Meets;
  EXPECT_EQ(MakeAllReduce()->habits().meets, Meets::kGradients);
  const auto local = MakeLocalSgd(12);
  EXPECT_EQ(local->habits().meets, Meets::kWeights);
  EXPECT_EQ(local->habits().meet_every, 12U);
}

TEST(NoneTest, AddsNothingOnEitherSide) {
  EXPECT_EQ(AskGain(*MakeNone()), 0);
  EXPECT_EQ(AnswerGain(*MakeNone()), 0);
}

TEST(ParameterServerTest, TakesChangesAndGivesItsWeights) {
  const auto server = MakeParameterServer(Seat::kServer);
  const auto worker = MakeParameterServer(Seat::kWorker);
  const auto reply = server->OnRequest(kPeer, {});
  EXPECT_FALSE(reply.refused);
  EXPECT_EQ(reply.correction.gain, 1);
  EXPECT_EQ(reply.correction.reference, Reference::kNothing);
  const auto answer = worker->OnAnswer(kPeer);
  EXPECT_EQ(answer.gain, 1);
  EXPECT_EQ(answer.reference, Reference::kLive);
  EXPECT_TRUE(worker->OnRequest(kPeer, {}).refused) << "two servers";
  EXPECT_EQ(server->habits().asks, Habits::Asks::kNever);
}

TEST(NaiveNewestTest, UsesWhatItHasAgainstItsLiveWeights) {
  const auto habits = MakeNaiveNewest()->habits();
  EXPECT_TRUE(habits.keeps_newest);
  EXPECT_EQ(habits.tick.gain, 0.5F);
  EXPECT_EQ(habits.tick.reference, Reference::kLive);
}

}  // namespace
}  // namespace hearsay::mixing
