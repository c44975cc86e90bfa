#include "daemon/mixing/sketch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace hearsay::mixing {
namespace {

std::vector<float> RandomWeights(std::size_t size, double scale,
                                 std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(0, scale);
  std::vector<float> weights(size);
  for (float& w : weights) w = static_cast<float>(normal(random));
  return weights;
}

double Norm(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum);
}

// The definition, computed from the whole vectors.
double ExactDistance(const std::vector<std::vector<float>>& nodes) {
  const std::size_t size = nodes[0].size();
  std::vector<double> mean(size);
  for (const auto& node : nodes)
    for (std::size_t k = 0; k < size; ++k)
      mean[k] +=
          static_cast<double>(node[k]) / static_cast<double>(nodes.size());
  double total = 0;
  for (const auto& node : nodes) {
    std::vector<double> difference(size);
    for (std::size_t k = 0; k < size; ++k)
      difference[k] = static_cast<double>(node[k]) - mean[k];
    total += Norm(difference) * Norm(difference);
  }
  return std::sqrt(total / static_cast<double>(nodes.size())) / Norm(mean);
}

TEST(SketchTest, EstimatesTheConsensusDistanceWithinItsStatedError) {
  for (const std::size_t size : {5000UL, 100000UL}) {
    const auto common = RandomWeights(size, 1, 1);
    std::vector<std::vector<float>> nodes;
    std::vector<Sketch> sketches;
    for (std::uint64_t i = 0; i < 6; ++i) {
      auto node = common;
      const auto own = RandomWeights(size, 0.05, 100 + i);
      for (std::size_t k = 0; k < size; ++k) node[k] += own[k];
      sketches.push_back(SketchOf(node));
      nodes.push_back(std::move(node));
    }
    const double exact = ExactDistance(nodes);
    // 4 % standard error of each norm; five of them, fixed seeds.
    EXPECT_NEAR(ConsensusOf(sketches)->relative_distance, exact, 0.2 * exact);
  }
}

TEST(SketchTest, IsLinear) {
  const auto a = RandomWeights(3000, 1, 1);
  const auto b = RandomWeights(3000, 1, 2);
  std::vector<float> sum(a.size());
  for (std::size_t k = 0; k < a.size(); ++k) sum[k] = a[k] + b[k];
  const auto sa = SketchOf(a);
  const auto sb = SketchOf(b);
  const auto s = SketchOf(sum);
  for (std::size_t k = 0; k < kSketchBuckets; ++k)
    EXPECT_NEAR(s[k], sa[k] + sb[k], 1e-4);
}

TEST(SketchTest, EqualNodesAgreeExactly) {
  const auto sketch = SketchOf(RandomWeights(1000, 1, 3));
  const std::vector<Sketch> same(4, sketch);
  EXPECT_NEAR(ConsensusOf(same)->relative_distance, 0, 1e-7);
}

TEST(SketchTest, FindsTheNodeThatIsFarOff) {
  std::vector<Sketch> sketches(3, SketchOf(RandomWeights(1000, 1, 3)));
  sketches.push_back(SketchOf(RandomWeights(1000, 5, 4)));
  const auto consensus = ConsensusOf(sketches);
  ASSERT_EQ(consensus->of_each.size(), 4U);
  EXPECT_GT(consensus->of_each[3], 2 * consensus->of_each[0]);
}

TEST(SketchTest, ASingleNodeIsInConsensusWithItself) {
  const std::vector<Sketch> one = {SketchOf(RandomWeights(10, 1, 5))};
  EXPECT_EQ(ConsensusOf(one)->relative_distance, 0);
}

TEST(SketchTest, AllZeroWeightsAreAgreement) {
  const std::vector<Sketch> zeros(3, SketchOf(std::vector<float>(100)));
  EXPECT_EQ(ConsensusOf(zeros)->relative_distance, 0);
}

TEST(SketchTest, NothingIsKnownOfNobodyOrOfValuesNotFinite) {
  EXPECT_FALSE(ConsensusOf({}));
  Sketch broken{};
  broken[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(ConsensusOf(std::vector<Sketch>{broken, Sketch{}}));
}

// The hash is part of the wire: nodes of different builds must sketch alike.
TEST(SketchTest, TheHashNeverChanges) {
  std::vector<float> weights(5);
  for (std::size_t k = 0; k < 5; ++k) weights[k] = static_cast<float>(k + 1);
  const auto sketch = SketchOf(weights);
  double checksum = 0;
  for (std::size_t k = 0; k < kSketchBuckets; ++k)
    checksum += static_cast<double>(sketch[k]) * static_cast<double>(k + 1);
  // From the same hash written in Python.
  EXPECT_EQ(checksum, 386);
}

}  // namespace
}  // namespace hearsay::mixing
