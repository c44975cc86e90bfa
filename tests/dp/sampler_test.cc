#include "dp/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "tests/dp/chance.h"

namespace hearsay::dp {
namespace {

constexpr double kFalseAlarm = 1e-10;

using Rows = std::vector<std::uint32_t>;

TEST(PoissonSamplerTest, TakesAllRowsAtRateOneAndNoneAtZero) {
  SecureRandom random;
  Rows rows{1, 2, 3};
  for (const std::size_t size : {0, 1, 4095, 4096, 4097, 10'000}) {
    PoissonSampler(1).Sample(size, random, rows);
    ASSERT_EQ(rows.size(), size);
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(rows[i], i);
    PoissonSampler(0).Sample(size, random, rows);
    EXPECT_TRUE(rows.empty());
  }
}

TEST(PoissonSamplerTest, UsesARateThatIsNeverBelowTheOneAskedFor) {
  for (const double rate :
       {0.0, 5e-324, 1e-30, 0x1p-64, 1.5 * 0x1p-64, 3e-19, 1e-10, 1e-3, 0.01,
        1 / 3.0, 0.5, 0.75, std::nextafter(1.0, 0.0), 1.0}) {
    const double used = PoissonSampler(rate).sample_rate();
    EXPECT_GE(used, rate);
    EXPECT_LE(used, rate + 0x1p-64);
    EXPECT_EQ(std::ldexp(used, 64), std::floor(std::ldexp(used, 64))) << rate;
  }
}

TEST(PoissonSamplerTest, RefusesARateThatIsNoProbability) {
  for (const double bad : {-1e-9, 1 + 1e-9, std::nan(""), HUGE_VAL, -HUGE_VAL})
    EXPECT_THROW(PoissonSampler{bad}, std::invalid_argument) << bad;
}

TEST(PoissonSamplerTest, RefusesMoreRowsThanItCanNumber) {
  SecureRandom random;
  Rows rows;
  PoissonSampler sampler(0.5);
  const auto limit = std::size_t{std::numeric_limits<std::uint32_t>::max()};
  EXPECT_THROW(sampler.Sample(limit + 2, random, rows), std::invalid_argument);
}

TEST(PoissonSamplerTest, GivesRowsInAscendingOrderAndWithinTheShard) {
  SecureRandom random;
  Rows rows;
  PoissonSampler sampler(0.3);
  for (std::size_t size = 1; size < 20'000; size = size * 3 / 2 + 1) {
    sampler.Sample(size, random, rows);
    EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end()));
    EXPECT_EQ(std::adjacent_find(rows.begin(), rows.end()), rows.end());
    EXPECT_TRUE(rows.empty() || rows.back() < size);
  }
}

TEST(PoissonSamplerTest, AllocatesNothingAfterTheFirstStep) {
  SecureRandom random;
  for (const double rate : {0.001, 0.02, 0.5, 0.99}) {
    Rows rows;
    PoissonSampler sampler(rate);
    sampler.Sample(5000, random, rows);
    const auto* const storage = rows.data();
    const std::size_t capacity = rows.capacity();
    for (int step = 0; step < 2000; ++step) sampler.Sample(5000, random, rows);
    EXPECT_EQ(rows.data(), storage);
    EXPECT_EQ(rows.capacity(), capacity);
  }
}

// The statistical tests fail a correct program less than once in 1e9 runs.
TEST(PoissonSamplerTest, TakesEveryRowEquallyOften) {
  constexpr std::size_t kSize = 5000;  // More than one block of words.
  constexpr int kSteps = 4000;
  SecureRandom random;
  Rows rows;
  // On, within and beside the 256ths that a first byte decides.
  for (const double rate :
       {0.0005, 1 / 256.0, 0.01, 77 / 256.0, 0.3, 0.95, 0.998}) {
    PoissonSampler sampler(rate);
    std::vector<double> taken(kSize);
    double all = 0;
    for (int step = 0; step < kSteps; ++step) {
      sampler.Sample(kSize, random, rows);
      for (const std::uint32_t row : rows) ++taken[row];
      all += static_cast<double>(rows.size());
    }
    const double slack =
        tests::BinomialSlack(kSteps, rate, kFalseAlarm / kSize);
    for (const double count : taken)
      ASSERT_NEAR(count, rate * kSteps, slack) << rate;
    EXPECT_NEAR(
        all, rate * kSteps * kSize,
        tests::BinomialSlack(double{kSteps} * kSize, rate, kFalseAlarm));
  }
}

TEST(PoissonSamplerTest, HasBatchesOfBinomialSize) {
  // A fixed-size sample has variance 0, a doubled one four times the variance.
  constexpr int kSteps = 20'000;
  constexpr double kSize = 1000;
  constexpr double kRate = 0.1;
  SecureRandom random;
  Rows rows;
  PoissonSampler sampler(kRate);
  const double variance = kSize * kRate * (1 - kRate);
  double squares = 0;
  for (int step = 0; step < kSteps; ++step) {
    sampler.Sample(1000, random, rows);
    const double off = static_cast<double>(rows.size()) - kSize * kRate;
    squares += off * off / variance;
  }
  // Near enough to a chi-square variable: 7 standard deviations and some.
  EXPECT_NEAR(squares / kSteps, 1, 8 * std::sqrt(2.0 / kSteps));
}

TEST(PoissonSamplerTest, DecidesEachRowAndStepIndependently) {
  constexpr std::size_t kSize = 2000;
  constexpr int kSteps = 2000;
  constexpr double kRate = 0.2;
  SecureRandom random;
  PoissonSampler sampler(kRate);
  Rows rows;
  std::vector<char> now(kSize);
  std::vector<char> last(kSize);
  double again = 0;  // In this step and in the last.
  double next = 0;   // This row and the one after it.
  for (int step = 0; step <= kSteps; ++step) {
    sampler.Sample(kSize, random, rows);
    std::swap(now, last);
    std::fill(now.begin(), now.end(), 0);
    for (const std::uint32_t row : rows) now[row] = 1;
    if (step == 0) continue;
    for (std::size_t i = 0; i < kSize; ++i) {
      again += now[i] & last[i];
      next += now[i] & now[(i + 1) % kSize];
    }
  }
  // Neighbouring products share a factor, so they split into three sets of
  // independent ones; the slack of each is added.
  const double n = double{kSteps} * kSize;
  const double pair = kRate * kRate;
  const double slack = 3 * tests::BinomialSlack(n / 3, pair, kFalseAlarm / 6);
  EXPECT_NEAR(again, n * pair, slack);
  EXPECT_NEAR(next, n * pair, slack);
}

}  // namespace
}  // namespace hearsay::dp
