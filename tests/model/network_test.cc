// Evaluation, extreme values, contracts, and what the network promises about
// threads and memory.
#include "model/network.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <iterator>
#include <thread>

#include "tests/model/reference.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HEARSAY_SANITIZED 1
#endif

namespace {
std::atomic<int> allocations{0};
}

#ifndef HEARSAY_SANITIZED
// Counts every allocation of the process, OpenBLAS's and operator new's too.
extern "C" {
void* __libc_malloc(size_t);            // NOLINT: glibc's name
void* __libc_memalign(size_t, size_t);  // NOLINT
void* malloc(size_t size) {
  ++allocations;
  return __libc_malloc(size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  ++allocations;
  return __libc_memalign(alignment, size);
}
}
#endif

namespace hearsay::model {
namespace {

// inputs are the outputs: an identity, to place logits at will.
ModelSpec Identity(int width, Loss loss) { return {width, {{width}}, loss}; }

std::vector<float> IdentityWeights(int width) {
  const auto n = static_cast<std::size_t>(width);
  std::vector<float> weights(n * n + n);
  for (std::size_t i = 0; i < n; ++i) weights[i * n + i] = 1;
  return weights;
}

TEST(NetworkTest, SoftmaxSurvivesLogitsOfTenThousand) {
  const auto network =
      MakeCpuNetwork(Identity(3, Loss::kSoftmaxCrossEntropy), 2);
  const auto weights = IdentityWeights(3);
  const std::vector<float> features = {1e4f, -1e4f, 0, 1e4f, -1e4f, 0};
  const std::vector<float> labels = {0, 1};
  const Evaluation evaluation =
      network->Evaluate(weights, {2, features, labels});
  EXPECT_DOUBLE_EQ(evaluation.loss_sum, 2e4);  // 0 and 2e4, exactly
  EXPECT_EQ(evaluation.correct, 1);
  std::vector<float> norms(2);
  network->GradientNorms(weights, {2, features, labels}, norms);
  EXPECT_EQ(norms[0], 0);
  // g = (1, -1, 0), |a|^2 = 2e8.
  EXPECT_NEAR(norms[1], std::sqrt(2.0 * (2e8 + 1)), 1e-2);
}

TEST(NetworkTest, BinaryCrossEntropySurvivesLogitsOfTenThousand) {
  const auto network =
      MakeCpuNetwork(Identity(1, Loss::kBinaryCrossEntropy), 4);
  const auto weights = IdentityWeights(1);
  const std::vector<float> features = {1e4f, 1e4f, -1e4f, -1e4f};
  const std::vector<float> labels = {1, 0, 0, 1};
  const Evaluation evaluation =
      network->Evaluate(weights, {4, features, labels});
  EXPECT_DOUBLE_EQ(evaluation.loss_sum, 2e4);
  EXPECT_EQ(evaluation.correct, 2);
  std::vector<float> norms(4);
  network->GradientNorms(weights, {4, features, labels}, norms);
  EXPECT_EQ(norms[0], 0);
  EXPECT_NEAR(norms[1], std::sqrt(1e8 + 1), 1e-2);
}

TEST(NetworkTest, EvaluationCountsTheLargestOutputAndTiesAsTheFirst) {
  const auto network =
      MakeCpuNetwork(Identity(3, Loss::kSoftmaxCrossEntropy), 8);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> features = {1, 2, 3,   3,   2,   1, 2, 2,
                                       1, 2, 2,   1,   0,   0, 0, nan,
                                       0, 0, nan, nan, nan, 0, 1, nan};
  const std::vector<float> labels = {2, 1, 0, 1, 0, 0, 0, 1};
  const Evaluation evaluation =
      network->Evaluate(IdentityWeights(3), {8, features, labels});
  EXPECT_EQ(evaluation.correct, 3);  // rows 0, 2 and 4
  EXPECT_EQ(evaluation.count, 8);
  EXPECT_TRUE(std::isnan(evaluation.loss_sum));
}

TEST(NetworkTest, EvaluationSumsTheReferencesLosses) {
  for (const Loss loss : {Loss::kSoftmaxCrossEntropy, Loss::kMse}) {
    const Case examples({5, {{7, Activation::kTanh}, {3}}, loss}, 30, 41);
    const auto network = MakeCpuNetwork(examples.spec, 30);
    const Evaluation got =
        network->Evaluate(examples.weights, examples.batch());
    double expected = 0;
    std::int64_t correct = 0;
    for (int b = 0; b < 30; ++b) {
      expected += examples.Loss(b);
      const Vector out = ReferenceOutputs(examples.spec, examples.Weights(),
                                          examples.Features(b));
      const auto largest = std::max_element(out.begin(), out.end());
      correct += std::distance(out.begin(), largest) ==
                         static_cast<std::ptrdiff_t>(examples.Label(b)[0])
                     ? 1
                     : 0;
    }
    EXPECT_NEAR(got.loss_sum, expected, 1e-4);
    EXPECT_EQ(got.correct, loss == Loss::kMse ? 0 : correct);
    EXPECT_EQ(got.count, 30);
  }
}

TEST(NetworkTest, RefusesWhatItCannotBuild) {
  EXPECT_THROW(MakeCpuNetwork({0, {{2}}, Loss::kMse}, 1),
               std::invalid_argument);
  EXPECT_THROW(MakeCpuNetwork({1, {{2}}, Loss::kMse}, 0),
               std::invalid_argument);
  EXPECT_THROW(MakeCpuNetwork({1, {{2}}, Loss::kMse}, -5),
               std::invalid_argument);
}

TEST(NetworkDeathTest, StopsAtABrokenContract) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Case examples({2, {{2}}, Loss::kSoftmaxCrossEntropy}, 3, 42);
  const auto network = MakeCpuNetwork(examples.spec, 2);
  std::vector<float> sum(6);
  EXPECT_DEATH(
      network->AddClippedSum(examples.weights, examples.batch(), 1, sum),
      "max_batch");
  EXPECT_DEATH(
      network->AddClippedSum(examples.weights, examples.Rows(0, 1), 0, sum),
      "clipping.norm > 0");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float label : {2.0f, -1.0f, 0.5f, nan}) {
    const std::vector<float> features = {1, 1};
    const std::vector<float> labels = {label};
    EXPECT_DEATH(network->AddSum(examples.weights, {1, features, labels}, sum),
                 "no class of this model");
  }
}

// A second's worth of steps would otherwise spend it in page faults.
TEST(NetworkTest, NoCallAllocates) {
#ifdef HEARSAY_SANITIZED
  GTEST_SKIP() << "sanitizers own malloc";
#endif
  Case examples({10,
                 {{64, Activation::kRelu}, {64, Activation::kGelu}, {2}},
                 Loss::kSoftmaxCrossEntropy},
                256, 43);
  examples.features[5] = std::numeric_limits<float>::infinity();
  const auto network = MakeCpuNetwork(examples.spec, 256);
  std::vector<float> sum(examples.weights.size());
  std::vector<float> outputs(512);
  const auto all = [&] {
    network->AddClippedSum(examples.weights, examples.batch(), 1, sum);
    network->AddSum(examples.weights, examples.batch(), sum);
    network->GradientNorms(examples.weights, examples.batch(),
                           std::span(outputs).first(256));
    network->Predict(examples.weights, 256, examples.features, outputs);
    network->Evaluate(examples.weights, examples.batch());
  };
  all();  // OpenBLAS reserves its packing buffers at its first product.
  const int before = allocations;
  EXPECT_GT(before, 0) << "nothing is being counted";
  all();
  EXPECT_EQ(allocations, before);
}

int Threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

// With OpenMP every thread has its own idea of how many to use.
TEST(NetworkTest, StartsNoThreadsFromAnyThread) {
#ifdef HEARSAY_SANITIZED
  GTEST_SKIP() << "sanitizers start threads";
#endif
  const Case examples({256, {{256}}, Loss::kMse}, 512, 44);
  const auto network = MakeCpuNetwork(examples.spec, 512);
  std::vector<float> sum(examples.weights.size());
  network->AddSum(examples.weights, examples.batch(), sum);
  EXPECT_EQ(Threads(), 1);
  std::thread([&] {
    network->AddSum(examples.weights, examples.batch(), sum);
    EXPECT_EQ(Threads(), 2) << "this one and the main one";
  }).join();
}

}  // namespace
}  // namespace hearsay::model
