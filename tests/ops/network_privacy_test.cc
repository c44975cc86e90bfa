// What a node sees of another: against small rings by hand, against what a
// simulated viewer's messages say, and where it does not apply.
#include "ops/plan/network_privacy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <Eigen/Dense>
#include <cmath>
#include <fstream>
#include <random>

#include "dp/accountant.h"
#include "dp/sampler.h"
#include "tests/ops/node_file.h"
#include "tests/ops/program.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::ops {
namespace {

using mixing::TopologyKind;
using testing::HasSubstr;
using tests::Hearsay;

constexpr double kClose = 1e-12;

// Node 0 asks 1, which asks 2, which asks 0: the asker alone moves.
MixingRecord OneWayRing(std::size_t nodes, std::size_t rounds) {
  return MixingRecordOf(TopologyKind::kRing, nodes, rounds, false);
}

TEST(NetworkViewTest, OfTwoThatExchangeEachSeesAllOfTheOther) {
  const auto record = MixingRecordOf(TopologyKind::kRing, 2, 3, true);
  const auto seen = NetworkView(record, 0).Seen(1);
  for (std::size_t s = 0; s < 3; ++s)
    for (std::size_t t = 0; t < 3; ++t)
      EXPECT_NEAR(seen[s][t], s == t ? 1 : 0, kClose);
}

// Node 0 hears a0, then (a0 + b0) / 2 + a1, where a and b are the noised
// gradients of nodes 1 and 2: it knows a0, and b0 / 2 + a1.
TEST(NetworkViewTest, ThreeInARingByHand) {
  const NetworkView view(OneWayRing(3, 2), 0);
  const auto near = view.Seen(1);
  EXPECT_NEAR(near[0][0], 1, kClose);
  EXPECT_NEAR(near[0][1], 0, kClose);
  EXPECT_NEAR(near[1][1], 1 / (1 + 0.25), kClose);
  const auto far = view.Seen(2);
  EXPECT_NEAR(far[0][0], 0.25 / (1 + 0.25), kClose);
  EXPECT_NEAR(far[1][1], 0, kClose);
  EXPECT_NEAR(view.Shares(2)[0], 0.2, kClose);
  EXPECT_NEAR(view.Shares(2)[1], 0, kClose);
}

// Heavy ball: with m = 0.5 node 1 adds a0, then a0 / 2 + a1.
TEST(NetworkViewTest, MomentumSaysAgainWhatWasSaid) {
  auto record = OneWayRing(3, 2);
  record.momentum = 0.5;
  const auto heavy = NetworkView(record, 0).Seen(2);
  EXPECT_NEAR(heavy[0][0], 0.2, kClose);
  // Nesterov's: 1.5 a0 first; then b0 comes as 1.5 / 2 against 1.5 a1.
  record.nesterov = true;
  EXPECT_NEAR(NetworkView(record, 0).Seen(2)[0][0], 0.2, kClose);
  // A node that meets nobody for a round hides one step behind another, and
  // momentum makes them differ: heard are a0, and a0 (1 + m) + a1 once.
  MixingRecord once = {.nodes = 2,
                       .both_move = false,
                       .momentum = 0.5,
                       .noisy_rounds = 2,
                       .rounds = {{}, {{0, 1}}}};
  const auto seen = NetworkView(once, 0).Seen(1);
  EXPECT_NEAR(seen[0][0], 2.25 / 3.25, kClose);
  EXPECT_NEAR(seen[1][1], 1 / 3.25, kClose);
  EXPECT_NEAR(seen[0][1], 1.5 / 3.25, kClose);
}

// privacy.md 1: on this ring averaging alone amplifies nothing.
TEST(NetworkViewTest, AveragingAloneLetsOneNodeSolveForAll) {
  for (const bool both : {false, true}) {
    auto record = MixingRecordOf(TopologyKind::kRing, 6, 12, both);
    record.noisy_rounds = 1;
    const NetworkView view(record, 0);
    // Both ways it hears left and right alike: of the nodes 2 and 4, say, the
    // sum alone, from either side once.
    for (std::size_t node = 1; node < 6; ++node)
      EXPECT_NEAR(view.Seen(node)[0][0], 1, 1e-6) << both << ' ' << node;
  }
}

// Messages by themselves say less than all together: of the ring above, with
// noise in the first round only, the second message has half b0 under half a0,
// which the first has told. So the sum is no bound (ops/decisions/0023).
TEST(NetworkViewTest, TheSumOverMessagesIsNoBoundOnAllOfThem) {
  auto record = OneWayRing(3, 2);
  record.noisy_rounds = 1;
  const NetworkView view(record, 0);
  EXPECT_NEAR(view.MessageByMessage(2), 0.5, kClose);
  EXPECT_NEAR(view.Seen(2)[0][0], 1, kClose);
}

// Where only one message is heard there is nothing to combine, and both agree;
// and where the sum has counted the same message often, it is larger.
TEST(NetworkViewTest, TheSumOverMessagesAgreesWhereItMust) {
  MixingRecord one = {.nodes = 4,
                      .both_move = false,
                      .noisy_rounds = 1,
                      .rounds = {{{2, 3}}, {{1, 2}}, {{0, 1}}}};
  const NetworkView view(one, 0);
  EXPECT_EQ(view.heard(), 1U);
  // x1 = a / 2 + b / 4 + c / 4.
  EXPECT_NEAR(view.MessageByMessage(3), (1. / 16) / (6. / 16), kClose);
  for (std::size_t node = 1; node < 4; ++node)
    EXPECT_NEAR(view.MessageByMessage(node), view.Seen(node)[0][0], kClose);
  auto often = MixingRecordOf(TopologyKind::kRing, 5, 60, true);
  often.noisy_rounds = 1;
  for (std::size_t node = 1; node < 5; ++node)
    EXPECT_GT(NetworkView(often, 0).MessageByMessage(node), 1.0);
}

// A viewer that was simulated, by code that knows nothing of projections: how
// far a unit gradient moves its messages, in the metric of their covariance.
TEST(NetworkViewTest, AgreesWithASimulatedViewer) {
  constexpr std::size_t kNodes = 5;
  constexpr std::size_t kRounds = 4;
  constexpr int kRuns = 40'000;
  const auto record =
      MixingRecordOf(TopologyKind::kExponential, kNodes, kRounds, false);
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  const auto play = [&](auto gradient) {
    std::vector<double> w(kNodes);
    std::vector<double> heard;
    for (std::size_t t = 0; t < kRounds; ++t) {
      for (std::size_t i = 0; i < kNodes; ++i) w[i] += gradient(i, t);
      const auto before = w;
      for (const auto& [asker, peer] : record.rounds[t]) {
        if (asker == 0) heard.push_back(before[peer]);
        w[asker] = (before[asker] + before[peer]) / 2;
      }
    }
    return Eigen::VectorXd(Eigen::Map<const Eigen::VectorXd>(
        heard.data(), static_cast<Eigen::Index>(heard.size())));
  };
  Eigen::MatrixXd covariance = Eigen::MatrixXd::Zero(kRounds, kRounds);
  for (int run = 0; run < kRuns; ++run) {
    // Its own noise a viewer can take off.
    const auto heard = play([&](std::size_t node, std::size_t) {
      return node == 0 ? 0 : normal(random);
    });
    covariance += heard * heard.transpose() / kRuns;
  }
  const NetworkView view(record, 0);
  for (std::size_t node = 1; node < kNodes; ++node)
    for (std::size_t round = 0; round < kRounds; ++round) {
      const auto shift = play([&](std::size_t i, std::size_t t) {
        return i == node && t == round ? 1.0 : 0.0;
      });
      const double simulated = shift.dot(covariance.ldlt().solve(shift));
      // The estimate's standard error is sqrt(2 / 40,000) of it: 0.7 %.
      EXPECT_NEAR(view.Seen(node)[round][round], simulated,
                  0.04 * simulated + 1e-12)
          << node << ' ' << round;
    }
}

// What the accountant is told of each round by itself is no less than what the
// view says of all together, for any gradients of a node.
TEST(NetworkViewTest, SharesBoundEverySumOfGradients) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  for (const auto kind : {TopologyKind::kRing, TopologyKind::kRandomMatching,
                          TopologyKind::kTorus, TopologyKind::kHierarchical})
    for (const double momentum : {0.0, 0.9}) {
      auto record = MixingRecordOf(kind, 6, 8, true);
      record.momentum = momentum;
      const NetworkView view(record, 2);
      double heard = 0;
      for (std::size_t node = 0; node < 6; ++node) {
        if (node == 2) continue;
        const auto seen = view.Seen(node);
        const auto shares = view.Shares(node);
        for (std::size_t t = 0; t < 8; ++t) {
          EXPECT_GE(shares[t], 0);
          EXPECT_LE(shares[t], 1 + kClose);
          heard += seen[t][t];
        }
        for (int trial = 0; trial < 100; ++trial) {
          std::vector<double> gradient(8);
          for (double& value : gradient) value = normal(random);
          double all = 0, bound = 0;
          for (std::size_t s = 0; s < 8; ++s) {
            bound += shares[s] * gradient[s] * gradient[s];
            for (std::size_t t = 0; t < 8; ++t)
              all += gradient[s] * seen[s][t] * gradient[t];
          }
          EXPECT_LE(all, bound + kClose);
        }
      }
      // Nobody learns more numbers than it was told.
      EXPECT_LE(heard, static_cast<double>(view.heard()) + 1e-9);
    }
}

TEST(NetworkViewTest, RefusesWhatItCannotCompute) {
  EXPECT_THROW(NetworkView(OneWayRing(3, 2), 3), std::invalid_argument);
  EXPECT_THROW(NetworkView(OneWayRing(1000, 100), 0), std::invalid_argument);
  EXPECT_THROW(NetworkView(OneWayRing(3, 600), 0), std::invalid_argument);
  auto record = OneWayRing(3, 2);
  record.rounds[0][0] = {1, 1};
  EXPECT_THROW(NetworkView(record, 0), std::invalid_argument);
  record = OneWayRing(3, 2);
  record.noisy_rounds = 3;
  EXPECT_THROW(NetworkView(record, 0), std::invalid_argument);
}

class NetworkReportTest : public testing::Test {
 protected:
  std::vector<std::string> Report(const std::string& mixing,
                                  const std::string& train = "",
                                  std::vector<std::string> more = {}) {
    tests::NodeFile{.cluster = tests::kThreePeers,
                    .train = "steps = 600\nsample_rate = 0.02\n" + train,
                    .privacy = "noise_multiplier = 1.0\n",
                    .more = "[mixing]\n" + mixing + "\n"}
        .Write(folder_ / "node.toml");
    std::vector<std::string> line = {"privacy", "--network", "--config",
                                     folder_ / "node.toml"};
    line.insert(line.end(), more.begin(), more.end());
    return line;
  }
  tests::TemporaryFolder folder_;
};

TEST_F(NetworkReportTest, LessIsSeenFromFartherAndTheClaimStandsBeside) {
  const auto run =
      Hearsay(Report("rule = \"one_way\"", "",
                     {"--nodes", "8", "--rounds", "24", "-o", "json"}));
  ASSERT_EQ(run.code, 0) << run.err;
  const auto report = run.json();
  EXPECT_EQ(report["schema"], 1);
  EXPECT_EQ(report["headline"], false);
  EXPECT_EQ(report["applies"], true);
  const dp::Releases local{dp::PoissonSampler(0.02).sample_rate(), 1.0, 24};
  const double claim =
      dp::EpsilonOf(dp::Accountant::kRdp, {&local, 1}, report["delta"]);
  EXPECT_DOUBLE_EQ(report["local_epsilon"], claim);
  ASSERT_EQ(report["pairs"].size(), 7U);
  for (std::size_t i = 0; i < 7; ++i) {
    const auto& pair = report["pairs"][i];
    EXPECT_EQ(pair["distance"], i + 1);
    EXPECT_LE(pair["epsilon"], claim);
    EXPECT_NEAR(pair["averaging_alone"], 1, 1e-6);
    if (i > 0) {
      EXPECT_LT(pair["seen"], report["pairs"][i - 1]["seen"]);
      EXPECT_LE(pair["epsilon"], report["pairs"][i - 1]["epsilon"]);
    }
  }
  const auto text = Hearsay(Report("rule = \"one_way\"")).out;
  EXPECT_THAT(text, HasSubstr("no claim"));
  EXPECT_THAT(text, HasSubstr("Averaging alone amplifies nothing here"));
  EXPECT_THAT(text, HasSubstr("does not apply to nodes that collude"));
  EXPECT_THAT(text, HasSubstr("sketch"));
}

// Steps before an exchange add up: their share is the round's, and momentum
// makes each step one of its own.
TEST_F(NetworkReportTest, StepsBetweenExchangesCount) {
  const auto seen = [&](const std::string& steps, const std::string& train) {
    const auto run = Hearsay(
        Report("rule = \"pairwise\"", train,
               {"--rounds", "6", "--steps-per-round", steps, "-o", "json"}));
    EXPECT_EQ(run.code, 0) << run.err;
    return run.json()["pairs"][0]["seen"].get<double>();
  };
  EXPECT_DOUBLE_EQ(seen("1", "momentum = 0.0"), seen("9", "momentum = 0.0"));
  EXPECT_GT(seen("3", "momentum = 0.9"), 0.0);
  const auto large = Hearsay(Report("rule = \"pairwise\"", "momentum = 0.9",
                                    {"--steps-per-round", "1000"}));
  EXPECT_EQ(large.code, 2);
  EXPECT_THAT(large.err, HasSubstr("--rounds"));
}

TEST_F(NetworkReportTest, SaysWhereItDoesNotApply) {
  struct {
    const char* mixing;
    const char* train;
    const char* word;
  } const rows[] = {
      {"rule = \"push_sum\"", "", "mixing.rule"},
      {"rule = \"pairwise\"\nwire = \"int8\"", "", "mixing.wire"},
      {"rule = \"pairwise\"\nclip = 1.0", "", "mixing.clip"},
      {"rule = \"pairwise\"\nmomentum = \"acid\"", "", "mixing.momentum"},
      {"rule = \"pairwise\"\n[resync]\nevery_steps = 100", "", "resync"},
      {"rule = \"pairwise\"", "optimizer = \"adam\"\nmomentum = 0.0",
       "train.optimizer"},
      {"rule = \"pairwise\"", "schedule = \"cosine\"", "train.schedule"},
      {"rule = \"pairwise\"", "warmup_steps = 10", "train.schedule"},
  };
  for (const auto& row : rows) {
    const auto run = Hearsay(Report(row.mixing, row.train));
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_THAT(run.out, HasSubstr("network privacy: does not apply"));
    EXPECT_THAT(run.out, HasSubstr(row.word));
    auto line = Report(row.mixing, row.train, {"-o", "json"});
    const auto report = Hearsay(line).json();
    EXPECT_EQ(report["verdict"], "does not apply");
    EXPECT_TRUE(report["pairs"].empty());
    EXPECT_GT(report["local_epsilon"], 0);
  }
}

TEST_F(NetworkReportTest, WhatIsWrongIsSaid) {
  EXPECT_EQ(Hearsay({"privacy", "--network"}).code, 2);
  EXPECT_EQ(Hearsay({"privacy", "--rounds", "3"}).code, 2);
  const auto wrong = Hearsay(Report("rul = \"pairwise\""));
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("mixing.rul"));
}

}  // namespace
}  // namespace hearsay::ops
