// Networks on several threads against the same on one.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include "model/network.h"
#include "model/workers.h"
#include "tests/model/models.h"
#include "tests/model/reference.h"

namespace hearsay::model {
namespace {

TEST(WorkersTest, EachHasItsTurnInEveryRoundAndTheCallerIsTheFirst) {
  for (const int count : {1, 2, 5}) {
    Workers workers(count);
    EXPECT_EQ(workers.count(), count);
    std::vector<int> turns(static_cast<std::size_t>(count));
    const auto caller = std::this_thread::get_id();
    bool by_caller = true;
    auto work = [&](int w) {
      ++turns[static_cast<std::size_t>(w)];
      if (w == 0) by_caller = by_caller && caller == std::this_thread::get_id();
    };
    for (int round = 0; round < 3000; ++round) workers.Run(work);
    EXPECT_EQ(turns, std::vector<int>(turns.size(), 3000));
    EXPECT_TRUE(by_caller);
  }
}

TEST(WorkersTest, TheyWakeWhenTheyHaveSlept) {
  Workers workers(3);
  std::atomic<int> turns = 0;
  auto work = [&](int) { ++turns; };
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    workers.Run(work);
  }
  EXPECT_EQ(turns, 15);
}

TEST(WorkersTest, SharesAllOutOnceInPieces) {
  for (const int count : {1, 3}) {
    Workers workers(count);
    for (const std::size_t size : {0, 1, 7, 8, 9, 1000}) {
      std::vector<std::atomic<int>> done(size);
      workers.Share(size, 8, [&](int w, std::size_t first, std::size_t piece) {
        EXPECT_TRUE(w >= 0 && w < count);
        EXPECT_TRUE(piece >= 1 && piece <= 8);
        for (std::size_t i = 0; i < piece; ++i) ++done[first + i];
      });
      for (const auto& times : done) EXPECT_EQ(times, 1);
    }
  }
}

TEST(WorkersTest, ThereIsAtLeastOne) {
  EXPECT_THROW(Workers(0), std::invalid_argument);
}

const ModelSpec kTabular = {
    10,
    {{64, Activation::kRelu}, {64, Activation::kTanh}, {3}},
    Loss::kSoftmaxCrossEntropy};
const ModelSpec kRegression = {7, {{33, Activation::kGelu}, {2}}, Loss::kMse};
// More parameters than the least piece is small for.
const ModelSpec kWide = {
    300, {{450, Activation::kRelu}, {5}}, Loss::kSoftmaxCrossEntropy};

void ExpectNear(const std::vector<float>& got,
                const std::vector<float>& expected, double tolerance) {
  double largest = 0;
  for (const float value : expected)
    largest = std::max(largest, std::abs(double{value}));
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], expected[i], tolerance * (largest + 1e-30)) << i;
}

class ThreadedNetworkTest : public ::testing::TestWithParam<int> {
 protected:
  static constexpr int kRoom = 700;
  static std::unique_ptr<Network> Make(const ModelSpec& spec) {
    return MakeCpuNetwork(spec, kRoom, {},
                          std::make_shared<Workers>(GetParam()));
  }
};

TEST_P(ThreadedNetworkTest, GivesWhatOneThreadGives) {
  for (const auto& spec : {kTabular, kRegression, kWide}) {
    SCOPED_TRACE(Canonical(spec));
    const auto one = MakeCpuNetwork(spec, kRoom);
    const auto several = Make(spec);
    for (const int count : {0, 1, 2, 31, 129, kRoom}) {
      SCOPED_TRACE(count);
      const Case examples(spec, count, 91);
      const auto batch = examples.batch();
      const auto rows = static_cast<std::size_t>(count);
      for (const auto kind : {Clipping::Kind::kFlat, Clipping::Kind::kPerLayer,
                              Clipping::Kind::kAutomatic}) {
        const Clipping clipping{0.8, kind, 2.0};
        std::vector<float> expected(examples.weights.size(), 0.5F);
        std::vector<float> sum = expected;
        const auto by_one =
            one->AddClippedSum(examples.weights, batch, clipping, expected);
        const auto seen =
            several->AddClippedSum(examples.weights, batch, clipping, sum);
        ExpectNear(sum, expected, 1e-5);
        EXPECT_EQ(seen.clipped, by_one.clipped);
        EXPECT_EQ(seen.rejected, by_one.rejected);
        EXPECT_NEAR(seen.loss_sum, by_one.loss_sum,
                    1e-5 * (1 + by_one.loss_sum));
        EXPECT_NEAR(seen.bounded_loss_sum, by_one.bounded_loss_sum,
                    1e-5 * (1 + by_one.loss_sum));
      }
      std::vector<float> expected(examples.weights.size()), sum(expected);
      const double loss = one->AddSum(examples.weights, batch, expected);
      EXPECT_NEAR(several->AddSum(examples.weights, batch, sum), loss,
                  1e-5 * (1 + loss));
      ExpectNear(sum, expected, 1e-5);

      std::vector<float> norms(rows), expected_norms(rows);
      one->GradientNorms(examples.weights, batch, expected_norms);
      several->GradientNorms(examples.weights, batch, norms);
      ExpectNear(norms, expected_norms, 1e-5);

      const auto width = static_cast<std::size_t>(Outputs(spec));
      std::vector<float> out(rows * width), expected_out(out.size());
      one->Predict(examples.weights, count, batch.features, expected_out);
      several->Predict(examples.weights, count, batch.features, out);
      ExpectNear(out, expected_out, 1e-5);

      const auto found = several->Evaluate(examples.weights, batch);
      const auto expected_found = one->Evaluate(examples.weights, batch);
      EXPECT_EQ(found.count, expected_found.count);
      EXPECT_EQ(found.correct, expected_found.correct);
    }
  }
}

TEST_P(ThreadedNetworkTest, OneStepLeavesNothingForTheNext) {
  const auto several = Make(kTabular);
  const auto one = MakeCpuNetwork(kTabular, kRoom);
  for (unsigned step = 0; step < 50; ++step) {
    const Case examples(kTabular, static_cast<int>(step * 13 % 600), step);
    std::vector<float> sum(examples.weights.size()), expected(sum);
    several->AddClippedSum(examples.weights, examples.batch(), 0.5, sum);
    one->AddClippedSum(examples.weights, examples.batch(), 0.5, expected);
    ExpectNear(sum, expected, 1e-5);
  }
}

TEST_P(ThreadedNetworkTest, ASpoiledExampleIsRejectedAlone) {
  Case examples(kTabular, 500, 92);
  examples.features[123 * 10] = std::numeric_limits<float>::quiet_NaN();
  examples.features[499 * 10 + 3] = std::numeric_limits<float>::infinity();
  const auto one = MakeCpuNetwork(kTabular, kRoom);
  std::vector<float> sum(examples.weights.size()), expected(sum);
  const auto seen =
      Make(kTabular)->AddClippedSum(examples.weights, examples.batch(), 1, sum);
  one->AddClippedSum(examples.weights, examples.batch(), 1, expected);
  EXPECT_EQ(seen.rejected, 2);
  ExpectNear(sum, expected, 1e-5);
}

// The same example many times: no two may share a mask, whoever takes them.
TEST_P(ThreadedNetworkTest, MasksAreOfOneExampleEach) {
  const ModelSpec spec = {
      40, {{Dropout{0.5}}, {3}}, Loss::kSoftmaxCrossEntropy};
  Case examples(spec, 600, 93);
  for (std::size_t i = 0; i < examples.features.size(); ++i)
    examples.features[i] = examples.features[i % 40];
  std::fill(examples.labels.begin(), examples.labels.end(), 1.0F);
  const auto several = Make(spec);
  several->BeginStep({1, 2, 3, 4, 5, 6, 7, 8});
  std::set<float> distinct;
  for (int call = 0; call < 2; ++call) {
    std::vector<float> norms(600);
    several->GradientNorms(examples.weights, examples.batch(), norms);
    distinct.insert(norms.begin(), norms.end());
  }
  EXPECT_GT(distinct.size(), 1190U) << "of 1200";
}

INSTANTIATE_TEST_SUITE_P(Of, ThreadedNetworkTest, ::testing::Values(2, 3, 7),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace hearsay::model
