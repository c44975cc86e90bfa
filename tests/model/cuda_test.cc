// The CUDA back end against the CPU one and against closed forms, where there
// is a GPU; what needs none of one, everywhere. Bundled by ops/gpu-check.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "model/cuda/noise.h"
#include "model/cuda_backend.h"
#include "tests/model/cuda_fixture.h"
#include "tests/model/cuda_models.h"
#include "tests/model/reference.h"

namespace hearsay::model {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

const ModelSpec kOneLayer = {7, {{3}}, Loss::kSoftmaxCrossEntropy};
const ModelSpec kRegression = {6, {{33, Activation::kGelu}, {4}}, Loss::kMse};

TEST(CudaNoiseTest, BlocksAreThoseOfOpenSsl) {
  const NoiseKey key = KeyOf(7);
  std::array<unsigned char, 32> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<unsigned char>(key[i / 4] >> (8 * (i % 4)));
  const std::array<unsigned char, 16> counter_and_nonce{};
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
      EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  ASSERT_EQ(EVP_EncryptInit_ex2(context.get(), EVP_chacha20(), bytes.data(),
                                counter_and_nonce.data(), nullptr),
            1);
  for (std::uint32_t block = 0; block < 100; ++block) {
    std::array<unsigned char, 64> stream{};
    int written = 0;
    ASSERT_EQ(EVP_EncryptUpdate(context.get(), stream.data(), &written,
                                stream.data(), 64),
              1);
    std::uint32_t words[16];
    cuda::ChaCha20Block(Words(key), block, words);
    for (std::size_t i = 0; i < 64; ++i)
      ASSERT_EQ(static_cast<unsigned char>(words[i / 4] >> (8 * (i % 4))),
                stream[i])
          << block << " " << i;
  }
}

TEST(CudaNoiseTest, NormalsHaveTheMomentsAndTheTailsOfNormals) {
  constexpr std::uint32_t kBlocks = 1U << 17;
  double sum = 0, squares = 0, fourth = 0;
  int beyond_four = 0;
  for (std::uint32_t block = 0; block < kBlocks; ++block) {
    double normals[cuda::kNormalsPerBlock];
    cuda::NormalsOfBlock(Words(KeyOf(1)), block, normals);
    for (const double x : normals) {
      sum += x;
      squares += x * x;
      fourth += x * x * x * x;
      beyond_four += std::abs(x) > 4 ? 1 : 0;
    }
  }
  const double n = cuda::kNormalsPerBlock * static_cast<double>(kBlocks);
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth / n, 3, 5 * std::sqrt(96 / n));
  EXPECT_NEAR(beyond_four / n, 6.334e-5, 5 * std::sqrt(6.334e-5 / n));
  double first = 0, second = 0;
  cuda::BoxMullerPair(0, 0, first, second);  // The rarest word of all.
  EXPECT_NEAR(first, std::sqrt(128 * std::log(2.0)), 1e-12);
  EXPECT_EQ(second, 0);
}

TEST(CudaBackendTest, SaysWhyItIsNotUsable) {
  const CudaProbe probe = ProbeCuda(0);
  EXPECT_EQ(probe.usable, probe.reason.empty());
  const CudaProbe none = ProbeCuda(1000);
  EXPECT_FALSE(none.usable);
  EXPECT_FALSE(none.reason.empty());
  EXPECT_EQ(none.reason.find('\n'), std::string::npos) << none.reason;
  EXPECT_THROW(MakeCudaNetwork(kOneLayer, 8, {.device = 1000}),
               std::runtime_error);
  EXPECT_THROW(MakeCudaNetwork({3, {}, Loss::kMse}, 8), std::invalid_argument);
  EXPECT_THROW(MakeCudaNetwork(kOneLayer, 0), std::invalid_argument);
}

Precision Of(bool tf32) {
  return tf32 ? Precision::kTf32 : Precision::kFloat32;
}

void ExpectEqualsCpu(const Case& examples, int max_batch, double clip_norm,
                     bool tf32, double tolerance) {
  SCOPED_TRACE(Canonical(examples.spec) + (tf32 ? " tf32" : " fp32"));
  const auto cpu = MakeCpuNetwork(examples.spec, std::max(1, examples.count));
  const auto gpu =
      MakeCudaNetwork(examples.spec, max_batch, {.precision = Of(tf32)});
  const auto batch = examples.batch();
  const auto rows = static_cast<std::size_t>(examples.count);
  const std::size_t P = examples.weights.size();
  const auto outputs = rows * static_cast<std::size_t>(Outputs(examples.spec));

  std::vector<float> cpu_out(outputs), gpu_out(outputs);
  cpu->Predict(examples.weights, batch.count, batch.features, cpu_out);
  gpu->Predict(examples.weights, batch.count, batch.features, gpu_out);
  ExpectNear("outputs", gpu_out, cpu_out, tolerance);

  std::vector<float> cpu_norms(rows), gpu_norms(rows);
  cpu->GradientNorms(examples.weights, batch, cpu_norms);
  gpu->GradientNorms(examples.weights, batch, gpu_norms);
  ExpectNear("norms", gpu_norms, cpu_norms, tf32 ? 4 * tolerance : tolerance);

  std::vector<float> cpu_sum(P), gpu_sum(P);
  const auto cpu_seen =
      cpu->AddClippedSum(examples.weights, batch, clip_norm, cpu_sum);
  const auto gpu_seen =
      gpu->AddClippedSum(examples.weights, batch, clip_norm, gpu_sum);
  ExpectNear("clipped sum", gpu_sum, cpu_sum, tf32 ? 10 * tolerance : 4e-5);
  EXPECT_NEAR(gpu_seen.loss_sum, cpu_seen.loss_sum,
              (tf32 ? 1e-2 : 1e-5) * (1 + std::abs(cpu_seen.loss_sum)));
  EXPECT_NEAR(gpu_seen.clipped, cpu_seen.clipped, tf32 ? 2 : 0);
  EXPECT_EQ(gpu_seen.rejected, cpu_seen.rejected);

  std::vector<float> cpu_plain(P, 1), gpu_plain(P, 1);
  cpu->AddSum(examples.weights, batch, cpu_plain);
  gpu->AddSum(examples.weights, batch, gpu_plain);
  ExpectNear("plain sum", gpu_plain, cpu_plain, tf32 ? 10 * tolerance : 1e-5);

  const auto cpu_found = cpu->Evaluate(examples.weights, batch);
  const auto gpu_found = gpu->Evaluate(examples.weights, batch);
  EXPECT_EQ(gpu_found.count, cpu_found.count);
  EXPECT_NEAR(static_cast<double>(gpu_found.correct),
              static_cast<double>(cpu_found.correct), tf32 ? 3 : 0);
}

TEST_F(CudaTest, EqualsTheCpuInFloat32) {
  unsigned seed = 31;
  for (const auto& spec :
       {kOneLayer, kTanh, kOdd, Wide(), kBinary, kRegression}) {
    const Case examples(spec, 200, seed++);
    const auto cpu = MakeCpuNetwork(spec, 200);
    std::vector<float> norms(200);
    cpu->GradientNorms(examples.weights, examples.batch(), norms);
    std::nth_element(norms.begin(), norms.begin() + 100, norms.end());
    // Between two norms, so that rounding cannot change who is clipped.
    const double median =
        0.5 *
        (norms[100] + *std::max_element(norms.begin(), norms.begin() + 100));
    ExpectEqualsCpu(examples, 256, median, false, 1e-5);
    ExpectEqualsCpu(examples, 200, 1e-3, false, 1e-5);
  }
}

TEST_F(CudaTest, EqualsTheCpuWithinTheRoundingOfTf32) {
  for (const auto& spec : {kTanh, Wide()})
    ExpectEqualsCpu(Case(spec, 256, 41), 256, 1.0, true, 5e-3);
}

TEST_F(CudaTest, NoExampleAndOneExample) {
  for (const auto& spec : {kOneLayer, kOdd, kBinary}) {
    ExpectEqualsCpu(Case(spec, 1, 51), 64, 0.1, false, 1e-5);
    ExpectEqualsCpu(Case(spec, 0, 52), 64, 0.1, false, 1e-5);
  }
}

// However an example is spoiled, it adds nothing or no more than the clip.
TEST_F(CudaTest, NobodyAddsMoreThanTheClip) {
  for (const bool tf32 : {false, true})
    for (const auto& spec : {kOneLayer, kOdd, Wide(), kRegression}) {
      const Case examples(spec, 1, 61);
      const auto gpu = MakeCudaNetwork(spec, 4, {.precision = Of(tf32)});
      for (const double clip : {1e-3, 0.1, 1.0})
        for (const float scale : {1.0F, 1e3F, 1e8F, 1e20F, kInfinity, NAN}) {
          Case spoiled = examples;
          spoiled.features[0] = 1;
          for (float& feature : spoiled.features) feature *= scale;
          std::vector<float> sum(spoiled.weights.size());
          const auto seen =
              gpu->AddClippedSum(spoiled.weights, spoiled.batch(), clip, sum);
          const double length = Norm({sum.begin(), sum.end()});
          EXPECT_LE(length, clip) << clip << " " << scale << " " << tf32;
          if (seen.rejected > 0) {
            EXPECT_EQ(length, 0);
          }
          if (!std::isfinite(scale)) {
            EXPECT_EQ(seen.rejected, 1);
          }
        }
    }
}

TEST_F(CudaTest, ASpoiledExampleHarmsNoOther) {
  for (const auto& spec : {kTanh, kOdd}) {
    const Case clean(spec, 40, 71);
    Case spoiled = clean;
    const auto width = static_cast<std::size_t>(spec.inputs);
    spoiled.features[5 * width] = NAN;
    spoiled.features[9 * width + 1] = kInfinity;
    const auto cpu = MakeCpuNetwork(spec, 40);
    const auto gpu = MakeCudaNetwork(spec, 40);
    std::vector<float> cpu_sum(clean.weights.size());
    std::vector<float> gpu_sum(clean.weights.size());
    const auto expected =
        cpu->AddClippedSum(spoiled.weights, spoiled.batch(), 0.5, cpu_sum);
    const auto seen =
        gpu->AddClippedSum(spoiled.weights, spoiled.batch(), 0.5, gpu_sum);
    EXPECT_EQ(seen.rejected, expected.rejected);
    EXPECT_EQ(seen.rejected, 2);
    ExpectNear("sum", gpu_sum, cpu_sum, 4e-5);
  }
}

TEST_F(CudaTest, WeightsThatAreNotFiniteRejectEverybody) {
  Case examples(kTanh, 10, 72);
  examples.weights[3] = kInfinity;
  const auto gpu = MakeCudaNetwork(kTanh, 32);
  std::vector<float> sum(examples.weights.size());
  const auto seen =
      gpu->AddClippedSum(examples.weights, examples.batch(), 1, sum);
  const auto cpu = MakeCpuNetwork(kTanh, 32);
  std::vector<float> expected(sum.size());
  const auto by_cpu =
      cpu->AddClippedSum(examples.weights, examples.batch(), 1, expected);
  EXPECT_EQ(seen.rejected, by_cpu.rejected);
  for (const float value : sum) ASSERT_TRUE(std::isfinite(value));
}

// A step on resident rows against the same by hand.
class CudaStepTest : public CudaTest {
 protected:
  static std::vector<float> ByHand(const Case& shard,
                                   std::span<const std::uint32_t> rows,
                                   const NoiseKey& key,
                                   const DeviceStepTerms& terms) {
    std::vector<float> sum(shard.weights.size());
    const auto cpu = MakeCpuNetwork(shard.spec, 1);
    for (const auto row : rows)
      cpu->AddClippedSum(shard.weights, shard.Rows(static_cast<int>(row), 1),
                         terms.clip_norm, sum);
    std::vector<float> gradient(sum.size());
    for (std::size_t i = 0; i < sum.size(); ++i) {
      double normals[cuda::kNormalsPerBlock];
      cuda::NormalsOfBlock(Words(key), static_cast<std::uint32_t>(i / 8),
                           normals);
      gradient[i] = static_cast<float>(
          terms.scale * (sum[i] + terms.noise_stddev * normals[i % 8]));
    }
    return gradient;
  }
};

// Small models take one kernel, wide ones many.
TEST_F(CudaStepTest, EqualsTheSameByHand) {
  for (const auto& spec : {kOneLayer, kTanh, kOdd, kBinary, kRegression, Wide(),
                           kWideRegression}) {
    SCOPED_TRACE(Canonical(spec));
    const Case shard(spec, 500, 81);
    const auto step = MakeCudaStep(spec, 64, shard.features, shard.labels);
    step->SetWeights(shard.weights);
    std::vector<float> gradient(shard.weights.size());
    std::uint32_t seed = 1;
    // None, one, some, all that fit, and more than fit at once.
    for (const std::size_t count : {0U, 1U, 40U, 64U, 65U, 200U}) {
      const auto rows = Rows(count, 500);
      const NoiseKey key = KeyOf(seed++);
      const DeviceStepTerms terms{.clip_norm = 0.3,
                                  .noise_stddev = 0.5,
                                  .scale = 1.0 / 64,
                                  .learning_rate = 0};
      step->Begin(rows, key, terms);
      step->GetGradient(gradient);
      ExpectNear("gradient", gradient, ByHand(shard, rows, key, terms), 4e-5);
    }
    std::vector<float> weights(shard.weights.size());
    step->GetWeights(weights);
    EXPECT_EQ(weights, shard.weights) << "a rate of 0 moves nothing";
  }
}

TEST_F(CudaStepTest, SpoiledRowsAddNothing) {
  for (const auto& spec : {kTanh, kWideRegression}) {
    SCOPED_TRACE(Canonical(spec));
    Case shard(spec, 100, 85);
    const auto width = static_cast<std::size_t>(spec.inputs);
    shard.features[3 * width + 1] = NAN;
    shard.features[10 * width] = kInfinity;
    const auto step = MakeCudaStep(spec, 64, shard.features, shard.labels);
    step->SetWeights(shard.weights);
    std::vector<std::uint32_t> rows(40);
    std::iota(rows.begin(), rows.end(), 0U);
    const DeviceStepTerms terms{.clip_norm = 0.2};
    step->Begin(rows, KeyOf(3), terms);
    std::vector<float> gradient(shard.weights.size());
    step->GetGradient(gradient);
    ExpectNear("gradient", gradient, ByHand(shard, rows, KeyOf(3), terms),
               4e-5);
    const auto seen = step->TakeStatistics();
    EXPECT_EQ(seen.rejected, 2);
    EXPECT_TRUE(std::isfinite(seen.loss_sum));
  }
}

TEST_F(CudaStepTest, WeightsMoveAgainstTheGradient) {
  const Case shard(kTanh, 300, 82);
  const auto step = MakeCudaStep(kTanh, 128, shard.features, shard.labels);
  step->SetWeights(shard.weights);
  std::vector<float> gradient(shard.weights.size()), weights(gradient.size());
  step->Begin(
      Rows(100, 300), KeyOf(9),
      {.clip_norm = 1, .noise_stddev = 1, .scale = 0.01, .learning_rate = 0.5});
  step->GetGradient(gradient);
  step->GetWeights(weights);
  for (std::size_t i = 0; i < weights.size(); ++i)
    ASSERT_NEAR(weights[i], shard.weights[i] - 0.5F * gradient[i], 1e-6) << i;
}

// What is private adds up over steps, and no step leaks into the next.
TEST_F(CudaStepTest, ManyStepsInFlightAreThoseOneByOne) {
  const Case shard(kTanh, 300, 83);
  const auto flying = MakeCudaStep(kTanh, 64, shard.features, shard.labels);
  const auto waiting = MakeCudaStep(kTanh, 64, shard.features, shard.labels);
  std::vector<float> a(shard.weights.size()), b(shard.weights.size());
  for (const auto* step : {&flying, &waiting})
    (*step)->SetWeights(shard.weights);
  for (std::uint32_t i = 0; i < 50; ++i) {
    const auto rows = Rows(i * 3, 300);
    const DeviceStepTerms terms{.clip_norm = 0.5,
                                .noise_stddev = 0.1,
                                .scale = 0.02,
                                .learning_rate = 0.1};
    flying->Begin(rows, KeyOf(i), terms);
    waiting->Begin(rows, KeyOf(i), terms);
    waiting->GetGradient(b);
  }
  flying->GetWeights(a);
  waiting->GetWeights(b);
  ExpectNear("weights", a, b, 1e-5);
  EXPECT_EQ(flying->TakeStatistics().clipped,
            waiting->TakeStatistics().clipped);
  EXPECT_EQ(flying->TakeStatistics().clipped, 0) << "they were taken";
}

TEST_F(CudaStepTest, NoiseIsFreshWithEveryKeyAndOfTheRightSize) {
  const ModelSpec spec{
      100, {{1000, Activation::kRelu}, {10}}, Loss::kSoftmaxCrossEntropy};
  const Case shard(spec, 10, 84);
  const auto step = MakeCudaStep(spec, 16, shard.features, shard.labels);
  step->SetWeights(shard.weights);
  std::vector<float> first(shard.weights.size()), second(first.size());
  const DeviceStepTerms terms{.clip_norm = 1, .noise_stddev = 3};
  step->Begin({}, KeyOf(1), terms);
  step->GetGradient(first);
  step->Begin({}, KeyOf(2), terms);
  step->GetGradient(second);
  const auto n = static_cast<double>(first.size());
  double squares = 0, product = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    squares += static_cast<double>(first[i]) * first[i];
    product += static_cast<double>(first[i]) * second[i];
  }
  EXPECT_NEAR(squares / n, 9, 9 * 5 * std::sqrt(2 / n));
  EXPECT_NEAR(product / n, 0, 9 * 5 / std::sqrt(n));
}

TEST_F(CudaTest, MoreLayersThanThereIsRoomForAreRefused) {
  const ModelSpec deep{
      5, std::vector<Layer>(17, Layer{Dense{4, Activation::kRelu}}),
      Loss::kMse};
  const Case shard(deep, 3, 87);
  const auto refusal = [](const auto& make) -> std::string {
    try {
      make();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "none";
  };
  const std::string expected = "CUDA: at most 16 layers, not 17";
  EXPECT_EQ(refusal([&] { MakeCudaNetwork(deep, 8); }), expected);
  for (const bool exact : {false, true})
    EXPECT_EQ(refusal([&] {
                MakeCudaStep(deep, 8, shard.features, shard.labels,
                             {.exact = exact});
              }),
              expected);
}

TEST_F(CudaTest, MoreThanItsMemoryIsAnErrorAndNoEnd) {
  const ModelSpec huge{1 << 14, {{1 << 14}, {2}}, Loss::kSoftmaxCrossEntropy};
  try {
    const auto network = MakeCudaNetwork(huge, 1 << 24);
    FAIL() << "there is no device with a terabyte";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("memory"), std::string::npos)
        << error.what();
  }
  EXPECT_NO_THROW(MakeCudaNetwork(kOneLayer, 8));
}

}  // namespace
}  // namespace hearsay::model
