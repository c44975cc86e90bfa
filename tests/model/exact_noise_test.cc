// The device's exact noise, on the host: against a plain sampler of the same
// algorithm, and against the formula, summed up.
#include "model/cuda/exact_noise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <stdexcept>
#include <vector>

#include "model/cuda/exact_terms.h"
#include "tests/dp/chance.h"
#include "tests/dp/discrete_gaussian_laws.h"
#include "tests/model/chacha20.h"
#include "tests/model/cuda_fixture.h"

namespace hearsay::model {
namespace {

__extension__ typedef unsigned __int128 Wide;

// Keys are fixed, so these are drawn once for ever.
constexpr double kFalseAlarm = 1e-9;
constexpr std::size_t kDraws = 300'000;

// As the paper has it, with fractions of 128 bits and nothing kept.
class PlainSampler {
 public:
  PlainSampler(const NoiseKey& key, std::uint64_t element)
      : key_(key), element_(element) {}

  std::int64_t Draw(int log_sigma) {
    const std::uint64_t sigma = std::uint64_t{1} << log_sigma;
    for (;;) {
      const std::uint64_t low =
          log_sigma == 0 ? 0 : Word() / (std::uint64_t{1} << (64 - log_sigma));
      if (!Exp(low, log_sigma)) continue;
      std::uint64_t size = low;
      while (ExpOfOne()) size += sigma;
      const bool negative = Word() >= std::uint64_t{1} << 63;
      if (negative && size == 0) continue;
      const std::uint64_t distance = size > sigma ? size - sigma : sigma - size;
      if (Keep(Wide{distance} * distance, 2 * log_sigma + 1))
        return negative ? -static_cast<std::int64_t>(size)
                        : static_cast<std::int64_t>(size);
    }
  }

 private:
  std::uint64_t Word() {
    const auto block = ReferenceChaCha20(
        key_, static_cast<std::uint32_t>(words_ / 8),
        {1, static_cast<std::uint32_t>(element_ & 0xffffffffU),
         static_cast<std::uint32_t>(element_ >> 32)});
    const std::size_t at = 2 * (words_++ % 8);
    return block[at] + (std::uint64_t{block[at + 1]} << 32);
  }
  bool Chance(std::uint64_t numerator, std::uint64_t denominator) {
    for (;;) {
      const Wide scaled = Wide{numerator} << 64;
      const auto digit = static_cast<std::uint64_t>(scaled / denominator);
      const std::uint64_t word = Word();
      if (word != digit) return word < digit;
      numerator = static_cast<std::uint64_t>(scaled % denominator);
    }
  }
  // exp(-numerator / 2^log_denominator): x / k at the k-th link.
  bool Exp(std::uint64_t numerator, int log_denominator) {
    if (numerator == 0) return true;
    std::uint64_t k = 1;
    while (k < 127) {
      const bool goes_on = k == 1
                               ? Word() < (numerator << (64 - log_denominator))
                               : Link(numerator << (64 - log_denominator), k);
      if (!goes_on) break;
      ++k;
    }
    return k % 2 == 1;
  }
  bool Link(std::uint64_t bits, std::uint64_t k) {
    const std::uint64_t word = Word();
    if (word != bits / k) return word < bits / k;
    return Chance(bits % k, k);
  }
  bool ExpOfOne() {
    std::uint64_t k = 2;
    while (k < 127 && Chance(1, k)) ++k;
    return k % 2 == 1;
  }
  bool Keep(Wide numerator, int log_denominator) {
    const Wide one = Wide{1} << log_denominator;
    for (; numerator >= one; numerator -= one)
      if (!ExpOfOne()) return false;
    return Exp(static_cast<std::uint64_t>(numerator), log_denominator);
  }

  const NoiseKey key_;
  const std::uint64_t element_;
  std::uint64_t words_ = 0;
};

std::vector<std::int64_t> Draw(int log_sigma, std::uint32_t seed,
                               std::size_t count = kDraws) {
  const auto key = Words(KeyOf(seed));
  std::vector<std::int64_t> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = cuda::DiscreteGaussianOf(key, i, log_sigma);
  return values;
}

TEST(ExactNoiseTest, IsThatOfAPlainSampler) {
  const NoiseKey key = KeyOf(3);
  for (const int log_sigma : {0, 1, 4, 13, 29, 30})
    for (std::uint64_t i = 0; i < 2000; ++i)
      for (const std::uint64_t element : {i, (i << 32) + 7})
        ASSERT_EQ(cuda::DiscreteGaussianOf(Words(key), element, log_sigma),
                  PlainSampler(key, element).Draw(log_sigma))
            << log_sigma << " " << element;
}

TEST(ExactNoiseTest, FollowsItsFormula) {
  for (int log_sigma = 0; log_sigma <= 5; ++log_sigma)
    tests::ExpectMass(Draw(log_sigma, 10 + static_cast<unsigned>(log_sigma)),
                      log_sigma, kFalseAlarm);
}

TEST(ExactNoiseTest, OfAnySizeIsNormalBetweenItsIntegers) {
  for (const int log_sigma : {10, 20, cuda::kMostLogSigma})
    tests::ExpectNormal(Draw(log_sigma, 20 + static_cast<unsigned>(log_sigma)),
                        log_sigma, kFalseAlarm);
}

TEST(ExactNoiseTest, HasUniformLastBits) {
  tests::ExpectUniformLastBits(Draw(28, 30), kFalseAlarm);
}

TEST(ExactNoiseTest, ElementsAndKeysAreIndependent) {
  const auto one = Draw(20, 40), two = Draw(20, 41);
  double keys = 0, neighbours = 0;
  for (std::size_t i = 0; i < kDraws; ++i) {
    const double x = std::ldexp(static_cast<double>(one[i]), -20);
    keys += x * std::ldexp(static_cast<double>(two[i]), -20);
    if (i > 0)
      neighbours += x * std::ldexp(static_cast<double>(one[i - 1]), -20);
  }
  EXPECT_LT(std::abs(keys), tests::kFarMean * std::sqrt(kDraws));
  EXPECT_LT(std::abs(neighbours), tests::kFarMean * std::sqrt(kDraws));
}

TEST(ExactNoiseTest, SharesNoWordWithTheNormalsOfItsKey) {
  const auto key = Words(KeyOf(5));
  std::set<std::uint64_t> words;
  std::size_t count = 0;
  for (std::uint32_t block = 0; block < 200; ++block) {
    std::uint32_t normals[16];
    cuda::ChaCha20Block(key, block, normals);
    for (int i = 0; i < 16; i += 2, ++count)
      words.insert(normals[i] | std::uint64_t{normals[i + 1]} << 32);
  }
  for (std::uint64_t element = 0; element < 200; ++element)
    for (const std::uint64_t of : {element, element << 32 | 1U << 31}) {
      cuda::ElementStream stream(key, of);
      for (int i = 0; i < 40; ++i, ++count) words.insert(stream.Word());
    }
  EXPECT_EQ(words.size(), count);
}

TEST(ExactTermsTest, AreRefusedOutOfRange) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const DeviceStepTerms good{
      .clip_norm = 0.5,
      .grid =
          DeviceGrid{.reach = 1 << 20, .log_sigma = 20, .margin = 1 - 0x1p-24}};
  EXPECT_NO_THROW(cuda::CheckExactTerms(good));
  const auto refused = [&](auto change) {
    auto terms = good;
    change(terms);
    EXPECT_THROW(cuda::CheckExactTerms(terms), std::invalid_argument);
  };
  refused([](auto& terms) { terms.grid.reset(); });
  for (const std::int64_t reach :
       {std::int64_t{0}, std::int64_t{-5}, (std::int64_t{1} << 30) + 1})
    refused([&](auto& terms) { terms.grid->reach = reach; });
  for (const int log_sigma : {-1, 31})
    refused([&](auto& terms) { terms.grid->log_sigma = log_sigma; });
  for (const double margin : {0.0, 1.0001, kNan})
    refused([&](auto& terms) { terms.grid->margin = margin; });
  for (const double clip : {0.0, -1.0, kNan, kInfinity})
    refused([&](auto& terms) { terms.clip_norm = clip; });
  for (const double bad : {kNan, kInfinity}) {
    refused([&](auto& terms) { terms.scale = bad; });
    refused([&](auto& terms) { terms.learning_rate = bad; });
  }
}

}  // namespace
}  // namespace hearsay::model
