// What tests of exact steps share: a step in whole numbers, and the same on the
// CPU by dp's sum on a grid.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dp/grid_sum.h"
#include "model/cuda/exact_noise.h"
#include "tests/model/cuda_fixture.h"
#include "tests/model/reference.h"

namespace hearsay::model {

inline std::vector<float> GradientOf(Network& network, const Case& shard,
                                     int row) {
  std::vector<float> gradient(shard.weights.size());
  network.AddSum(shard.weights, shard.Rows(row, 1), gradient);
  return gradient;
}

class CudaExactTest : public CudaTest {
 protected:
  static constexpr double kClip = 0.5;  // a power of two: its step can be 1

  static std::unique_ptr<DeviceStep> MakeStep(const Case& shard,
                                              int max_batch) {
    auto step = MakeCudaStep(shard.spec, max_batch, shard.features,
                             shard.labels, {.exact = true});
    step->SetWeights(shard.weights);
    return step;
  }

  static std::vector<float> Gradient(DeviceStep& step, std::size_t parameters,
                                     std::span<const std::uint32_t> rows,
                                     const NoiseKey& key,
                                     const DeviceStepTerms& terms) {
    std::vector<float> gradient(parameters, 7);
    step.Begin(rows, key, terms);
    step.GetGradient(gradient);
    return gradient;
  }

  static DeviceStepTerms Terms(const dp::GridTerms& grid, double scale) {
    return {.clip_norm = grid.clip_norm,
            .scale = scale,
            .grid = DeviceGrid{.reach = grid.reach,
                               .log_sigma = grid.log_sigma,
                               .margin = dp::kGridMargin}};
  }

  // In grid steps, without its noise. Requires: sums below 2^24.
  static std::vector<std::int64_t> Steps(DeviceStep& step, const Case& shard,
                                         std::span<const std::uint32_t> rows,
                                         std::int64_t reach) {
    const dp::GridTerms grid{
        .clip_norm = kClip, .log_sigma = 2, .reach = reach};
    const NoiseKey key = KeyOf(77);
    const auto gradient =
        Gradient(step, shard.weights.size(), rows, key,
                 Terms(grid, static_cast<double>(reach) / kClip));
    std::vector<std::int64_t> steps(gradient.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      EXPECT_LT(std::abs(gradient[i]), 0x1p24F);
      steps[i] = static_cast<std::int64_t>(gradient[i]) -
                 cuda::DiscreteGaussianOf(Words(key), i, grid.log_sigma);
    }
    return steps;
  }

  // What dp and the CPU make of it, with the host's draws of the noise.
  struct ByHand {
    std::vector<float> gradient;
    ClippedSumStatistics seen;
  };
  static ByHand OnTheCpu(const Case& shard, std::span<const std::uint32_t> rows,
                         const NoiseKey& key, double clip, double multiplier,
                         double scale) {
    const auto cpu = MakeCpuNetwork(shard.spec, 1);
    const auto terms = dp::GridTermsFor(clip, multiplier);
    dp::GridSum grid(shard.weights.size(), clip, multiplier);
    ByHand made;
    std::vector<float> gradient(shard.weights.size());
    for (const auto row : rows) {
      std::fill(gradient.begin(), gradient.end(), 0.0F);
      made.seen.loss_sum += cpu->AddSum(
          shard.weights, shard.Rows(static_cast<int>(row), 1), gradient);
      const auto fate = grid.Add(gradient);
      made.seen.clipped += fate == dp::GridSum::Fate::kClipped ? 1 : 0;
      made.seen.rejected += fate == dp::GridSum::Fate::kRejected ? 1 : 0;
    }
    const double step = scale * clip / static_cast<double>(terms.reach);
    for (std::size_t i = 0; i < gradient.size(); ++i)
      made.gradient.push_back(static_cast<float>(
          static_cast<double>(
              grid.sum()[i] +
              cuda::DiscreteGaussianOf(Words(key), i, terms.log_sigma)) *
          step));
    return made;
  }

  // Between two norms in the middle, so that rounding changes nobody's fate.
  static double Median(const Case& shard) {
    const auto cpu = MakeCpuNetwork(shard.spec, 1);
    std::vector<double> norms;
    for (int row = 0; row < shard.count; ++row) {
      const auto gradient = GradientOf(*cpu, shard, row);
      norms.push_back(Norm({gradient.begin(), gradient.end()}));
    }
    std::sort(norms.begin(), norms.end());
    return 0.5 * (norms[norms.size() / 2] + norms[norms.size() / 2 - 1]);
  }
};

}  // namespace hearsay::model
