// The replaced parts. CMakeLists.txt compiles the product's own sources of them
// with their functions renamed to Real...; these take their names. The sampler
// is written again, as simply as can be.
#include "tests/audit/mutants.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "daemon/private_sum.h"
#include "dp/gaussian_noise.h"
#include "dp/sampler.h"
#include "model/cpu/clipping.h"

namespace hearsay {

namespace dp {
void RealAddGaussianNoise(double stddev, SecureRandom& random,
                          std::span<float> sum);
}  // namespace dp
namespace model::cpu {
ClipCount RealClipFactors(double clip_norm,
                          std::span<const double> squared_norms,
                          std::span<float> factors);
}  // namespace model::cpu
namespace daemon {
std::unique_ptr<PrivateSum> RealMakeHostSum(
    std::unique_ptr<model::Network> network, const model::Shard& shard,
    int physical_batch, std::shared_ptr<model::Workers> workers);
}  // namespace daemon

namespace audit_mutant {
namespace {

constexpr double kMeanBatch = 250;  // Of the audit's terms.

Fault fault = Fault::kNone;
std::vector<float> kept_noise;                   // Of the first step.
std::vector<std::vector<float>> shared_noise;    // Of all nodes, a step each.
std::map<const void*, std::size_t> steps_taken;  // By a node's key.

std::vector<float> Draw(double stddev, dp::SecureRandom& random,
                        std::size_t size) {
  std::vector<float> noise(size);
  dp::RealAddGaussianNoise(stddev, random, noise);
  return noise;
}

void AddTo(std::span<float> sum, const std::vector<float>& noise) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += noise[i];
}

// Divides by the rows that there were, and multiplies by those expected.
class RealisedSum final : public daemon::PrivateSum {
 public:
  explicit RealisedSum(std::unique_ptr<daemon::PrivateSum> real)
      : real_(std::move(real)) {}
  model::ClippedSumStatistics Compute(std::span<const float> weights,
                                      std::span<const std::uint32_t> rows,
                                      const daemon::PrivateSumTerms& terms,
                                      dp::SecureRandom& noise,
                                      std::span<float> gradient,
                                      daemon::PhaseSeconds& phases) override {
    auto changed = terms;
    changed.scale *=
        kMeanBatch / static_cast<double>(std::max<std::size_t>(1, rows.size()));
    return real_->Compute(weights, rows, changed, noise, gradient, phases);
  }

 private:
  const std::unique_ptr<daemon::PrivateSum> real_;
};

}  // namespace

void Set(Fault wanted) {
  fault = wanted;
  kept_noise.clear();
  shared_noise.clear();
  steps_taken.clear();
}

}  // namespace audit_mutant

using audit_mutant::Fault;

void dp::AddGaussianNoise(double stddev, SecureRandom& random,
                          std::span<float> sum) {
  using namespace audit_mutant;
  if (stddev == 0) return;
  switch (fault) {
    case Fault::kNoise70Percent:
      return RealAddGaussianNoise(.7 * stddev, random, sum);
    case Fault::kNoise50Percent:
      return RealAddGaussianNoise(.5 * stddev, random, sum);
    case Fault::kNoiseOfTheMean:
      return RealAddGaussianNoise(stddev / kMeanBatch, random, sum);
    case Fault::kNoiseReusedAcrossSteps:
      if (kept_noise.empty()) kept_noise = Draw(stddev, random, sum.size());
      return AddTo(sum, kept_noise);
    case Fault::kOneNoiseForAllNodes: {
      const std::size_t step = steps_taken[&random]++;
      if (step == shared_noise.size())
        shared_noise.push_back(Draw(stddev, random, sum.size()));
      return AddTo(sum, shared_noise[step]);
    }
    default:
      return RealAddGaussianNoise(stddev, random, sum);
  }
}

model::cpu::ClipCount model::cpu::ClipFactors(
    double clip_norm, std::span<const double> squared_norms,
    std::span<float> factors) {
  if (audit_mutant::fault != Fault::kNoClip)
    return RealClipFactors(clip_norm, squared_norms, factors);
  std::fill(factors.begin(), factors.end(), 1.0F);
  return {};
}

std::unique_ptr<daemon::PrivateSum> daemon::MakeHostSum(
    std::unique_ptr<model::Network> network, const model::Shard& shard,
    int physical_batch, std::shared_ptr<model::Workers> workers) {
  auto real = RealMakeHostSum(std::move(network), shard, physical_batch,
                              std::move(workers));
  if (audit_mutant::fault != Fault::kDividedByRealised) return real;
  return std::make_unique<audit_mutant::RealisedSum>(std::move(real));
}

dp::PoissonSampler::PoissonSampler(double sample_rate)
    : effective_rate_(sample_rate),
      threshold_(static_cast<std::uint64_t>(std::ldexp(sample_rate, 63))),
      always_(sample_rate >= 1) {}

void dp::PoissonSampler::Sample(std::size_t size, SecureRandom& random,
                                std::vector<std::uint32_t>& rows) {
  if (audit_mutant::fault == Fault::kShuffled) {
    const auto batch = static_cast<std::size_t>(
        std::lround(effective_rate_ * static_cast<double>(size)));
    // words_: a permutation of the rows; next_word_: how many were given out.
    if (words_.size() != size || next_word_ + batch > size) {
      words_.resize(size);
      for (std::size_t i = 0; i < size; ++i) words_[i] = i;
      std::vector<std::uint64_t> seed(1);
      random.Fill(std::span(seed));
      std::shuffle(words_.begin(), words_.end(), std::mt19937_64(seed[0]));
      next_word_ = 0;
    }
    rows.clear();
    for (std::size_t i = 0; i < batch; ++i)
      rows.push_back(static_cast<std::uint32_t>(words_[next_word_++]));
    std::sort(rows.begin(), rows.end());
    return;
  }
  std::vector<std::uint64_t> words(size);
  random.Fill(std::span(words));
  rows.clear();
  for (std::size_t i = 0; i < size; ++i)
    if (always_ || words[i] >> 1 < threshold_ ||
        audit_mutant::fault == Fault::kSamplerIgnoresRate)
      rows.push_back(static_cast<std::uint32_t>(i));
}

}  // namespace hearsay
