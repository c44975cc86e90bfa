#include "dp/pld.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/shared.h"

namespace hearsay::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double OneEpsilon(double q, double sigma, std::uint64_t steps, double delta) {
  const Releases releases{q, sigma, steps};
  return PldEpsilon({&releases, 1}, delta);
}

// The columns are Google's dp_accounting on the same grid. That library sums in
// double: its value of the row of 100,000 steps is 1.2e-5 above what the sum is
// (see AgreesWithLongDoubleSumsOnTheSameGrid).
TEST(PldTest, AgreesWithGoogleOnTheSharedTable) {
  const auto file = tests::SharedFile("oracles/subsampled_gaussian.tsv");
  if (!file) GTEST_SKIP() << tests::kNoShared;
  std::ifstream lines(*file);
  std::string line;
  std::getline(lines, line);
  int compared = 0;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    Releases row;
    double delta = 0;
    double rdp = 0;
    double order = 0;
    double remove = 0;
    double add = 0;
    double pld = 0;
    words >> row.sample_rate >> row.noise_multiplier >> row.steps >> delta >>
        rdp >> order >> remove >> add >> pld;
    const double found = PldEpsilon({&row, 1}, delta);
    EXPECT_GE(found, pld - 1e-6) << line;
    EXPECT_LE(found, pld + 2e-4) << line;
    EXPECT_LE(found, rdp + 2e-4) << line;
    ++compared;
  }
  EXPECT_GE(compared, 25);
}

TEST(PldTest, IsWithinTheCertifiedBracketsOfMicrosoft) {
  const auto file = tests::SharedFile("oracles/prv_brackets_and_phases.txt");
  if (!file) GTEST_SKIP() << tests::kNoShared;
  std::ifstream lines(*file);
  int compared = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto open = line.find('(');
    if (line.empty() || !std::isdigit(line[0]) || open == std::string::npos)
      continue;
    std::string text = line;
    for (char& letter : text)
      if (letter == '(' || letter == ',' || letter == ')') letter = ' ';
    std::istringstream words(text);
    Releases row;
    double delta = 0;
    double low = 0;
    double estimate = 0;
    double high = 0;
    words >> row.sample_rate >> row.noise_multiplier >> row.steps >> delta >>
        low >> estimate >> high;
    const double found = PldEpsilon({&row, 1}, delta);
    EXPECT_GE(found, low) << line;
    EXPECT_LE(found, high) << line;
    EXPECT_NEAR(found, estimate, 2e-4) << line;
    ++compared;
  }
  EXPECT_GE(compared, 7);
}

TEST(PldTest, ComposesTheSharedHeterogeneousPhases) {
  const Releases a[] = {{0.01, 1, 500}, {0.02, 1.5, 500}, {1, 10, 1}};
  const Releases b[] = {{0.005, 0.8, 100}, {1, 8, 200}};
  EXPECT_NEAR(PldEpsilon(a, 1e-5), 1.9396476425415292, 1e-6);
  EXPECT_NEAR(PldEpsilon(a, 1e-6), 2.2293674782812634, 1e-6);
  EXPECT_NEAR(PldEpsilon(b, 1e-5), 8.612443921822846, 1e-6);
  EXPECT_NEAR(PldEpsilon(b, 1e-6), 9.500387348208271, 1e-6);
}

TEST(PldTest, AgreesWithLongDoubleSumsOnTheSameGrid) {
  std::ifstream lines(HEARSAY_SOURCE_DIR "/tests/oracles/pld.tsv");
  std::string line;
  std::getline(lines, line);
  int compared = 0;
  while (std::getline(lines, line)) {
    std::vector<std::string> fields;
    std::istringstream columns(line);
    for (std::string field; std::getline(columns, field, '\t');)
      fields.push_back(field);
    ASSERT_EQ(fields.size(), 4U) << line;
    std::vector<Releases> phases;
    std::istringstream texts(fields[0]);
    for (std::string text; texts >> text;) {
      Releases phase;
      char comma = 0;
      std::istringstream(text) >> phase.sample_rate >> comma >>
          phase.noise_multiplier >> comma >> phase.steps;
      phases.push_back(phase);
    }
    const double exact = std::max(std::stod(fields[2]), std::stod(fields[3]));
    const double found = PldEpsilon(phases, std::stod(fields[1]));
    EXPECT_GE(found, exact - 1e-7) << line;
    EXPECT_LE(found, exact + 2e-5) << line;
    ++compared;
  }
  EXPECT_GE(compared, 10);
}

// delta(epsilon) of N(ratio, 1) against N(0, 1), solved in 30 digits by mpmath;
// and two published ones (the README of the shared oracles).
TEST(PldTest, IsExactForTheUnsampledGaussian) {
  struct Row {
    double sigma, delta, epsilon;
  };
  for (const Row& row : {Row{1, 1e-5, 4.3771780956812246},
                         {100, 1e-9, 0.048866393015703273},
                         {1 / 30.0, 1e-6, 591.67471782589054},
                         {1000, 1e-9, 0.0044253508875374595},
                         {std::sqrt(3) / std::sqrt(3), 0.126936, 1}}) {
    const double found = OneEpsilon(1, row.sigma, 1, row.delta);
    EXPECT_GE(found, row.epsilon * (1 - 1e-5));
    EXPECT_NEAR(found / row.epsilon, 1, row.delta > 0.1 ? 1e-5 : 1e-12);
    if (row.delta < 0.1) {
      EXPECT_GE(found, row.epsilon);
    }
  }
  EXPECT_NEAR(OneEpsilon(1, 0.7, 2, 1e-5), 10.122494583907486, 1e-11);
  EXPECT_EQ(OneEpsilon(1, 5, 25, 1e-5), OneEpsilon(1, 1, 1, 1e-5));
}

TEST(PldTest, ComesToTheUnsampledGaussianAsTheRateComesToOne) {
  for (const double sigma : {0.8, 3.0, 20.0}) {
    const double sampled = OneEpsilon(1 - 1e-12, sigma, 4, 1e-5);
    EXPECT_NEAR(sampled, OneEpsilon(1, sigma, 4, 1e-5), 1e-6) << sigma;
  }
}

TEST(PldTest, GrowsWithRateAndStepsAndFallsWithNoiseAndDelta) {
  const double rates[] = {1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 1};
  const double noises[] = {0.4, 0.7, 1, 1.1, 2, 5, 20, 200};
  const std::uint64_t steps[] = {1, 2, 10, 500, 501, 20'000, 1'000'000};
  const double deltas[] = {1e-9, 1e-7, 1e-5, 1e-3, 0.1, 0.9};
  for (std::size_t i = 1; i < std::size(rates); ++i)
    for (const double sigma : {0.6, 1.0, 6.0})
      EXPECT_GE(OneEpsilon(rates[i], sigma, 50, 1e-5),
                OneEpsilon(rates[i - 1], sigma, 50, 1e-5))
          << rates[i] << ' ' << sigma;
  for (std::size_t i = 1; i < std::size(noises); ++i)
    for (const double q : {0.001, 0.3, 1.0})
      EXPECT_LE(OneEpsilon(q, noises[i], 50, 1e-5),
                OneEpsilon(q, noises[i - 1], 50, 1e-5))
          << q << ' ' << noises[i];
  for (std::size_t i = 1; i < std::size(steps); ++i)
    EXPECT_GT(OneEpsilon(0.01, 1, steps[i], 1e-5),
              OneEpsilon(0.01, 1, steps[i - 1], 1e-5))
        << steps[i];
  for (std::size_t i = 1; i < std::size(deltas); ++i)
    EXPECT_LE(OneEpsilon(0.01, 1, 1000, deltas[i]),
              OneEpsilon(0.01, 1, 1000, deltas[i - 1]))
        << deltas[i];
}

// But where a step loses less than the grid, see RenyiAndPldTest.
TEST(PldTest, IsAtMostTheRenyiBound) {
  for (const double q : {0.001, 0.02, 0.4, 0.95})
    for (const double sigma : {0.5, 1.0, 3.0})
      for (const std::uint64_t steps : {1, 30, 3000})
        for (const double delta : {1e-9, 1e-5, 1e-2}) {
          const double rdp = RdpEpsilon({q, sigma, steps}, delta).epsilon;
          EXPECT_LE(OneEpsilon(q, sigma, steps, delta), rdp + 2e-4)
              << q << ' ' << sigma << ' ' << steps << ' ' << delta;
        }
}

TEST(PldTest, ComposesInPartsAndInAnyOrder) {
  const Releases forwards[] = {
      {0.01, 1.1, 300}, {0.2, 4, 20}, {1, 30, 5}, {0.01, 0.7, 7}};
  const Releases backwards[] = {
      {0.01, 0.7, 7}, {1, 30, 5}, {0.2, 4, 20}, {0.01, 1.1, 300}};
  const Releases in_parts[] = {{1, 30, 2},       {0.01, 1.1, 100}, {0.2, 4, 19},
                               {0.01, 0.7, 7},   {0.2, 4, 1},      {1, 30, 3},
                               {0.01, 1.1, 200}, {0.5, 3, 0},      {0, 2, 9}};
  for (const double delta : {1e-9, 1e-5, 1e-2}) {
    const double expected = PldEpsilon(forwards, delta);
    EXPECT_EQ(PldEpsilon(backwards, delta), expected);
    EXPECT_NEAR(PldEpsilon(in_parts, delta), expected, 1e-12);
  }
}

// The same schedule, summed as one phase and as two of nearly the same noise.
TEST(PldTest, AgreesWithItselfOnPhasesThatNearlyMerge) {
  const Releases two[] = {{0.01, 1, 400}, {0.01, 1 + 1e-13, 600}};
  EXPECT_NEAR(PldEpsilon(two, 1e-5), OneEpsilon(0.01, 1, 1000, 1e-5), 1e-6);
}

TEST(PldTest, LosesNothingWithoutSamplingAndEverythingWithoutNoise) {
  EXPECT_EQ(PldEpsilon({}, 1e-5), 0);
  EXPECT_EQ(OneEpsilon(0, 1, 1000, 1e-5), 0);
  EXPECT_EQ(OneEpsilon(0, 0, 1000, 1e-5), 0);
  EXPECT_EQ(OneEpsilon(0.01, 0, 0, 1e-5), 0);
  EXPECT_EQ(OneEpsilon(0.01, 0, 1, 1e-5), kInfinity);
  EXPECT_EQ(OneEpsilon(1, 0, 1, 1e-5), kInfinity);
  const Releases mixed[] = {{0.01, 1, 10}, {0.01, 0, 1}};
  EXPECT_EQ(PldEpsilon(mixed, 1e-5), kInfinity);
}

TEST(PldTest, SaysZeroWhereDeltaAloneIsEnough) {
  EXPECT_EQ(OneEpsilon(1e-6, 100, 10, 1e-3), 0);
  EXPECT_EQ(OneEpsilon(1, 1000, 1, 1e-3), 0);
  EXPECT_GT(OneEpsilon(0.1, 1, 10, 1e-3), 0);
}

// Whatever it is asked, it gives an upper bound: here there are simple lower
// ones (one step's best case, from above) or it may give none.
TEST(PldTest, StaysOrderedAtTheEdges) {
  for (const double q : {5e-324, 1e-17, 1e-6, 0.5, 1 - 1e-16})
    for (const double sigma : {1e-300, 1e-2, 1e2, 1e300})
      for (const std::uint64_t steps :
           {std::uint64_t{1}, std::uint64_t{10'000'000}, ~std::uint64_t{0}}) {
        const double found = OneEpsilon(q, sigma, steps, 1e-5);
        ASSERT_FALSE(std::isnan(found)) << q << ' ' << sigma << ' ' << steps;
        ASSERT_GE(found, 0);
      }
  // A record that is in with q, and then seen without a doubt.
  EXPECT_GT(OneEpsilon(0.5, 1e-2, 1, 1e-5), 4000);
  EXPECT_EQ(OneEpsilon(1e-6, 1e-2, 1, 1e-5), 0);
}

TEST(PldTest, RefusesWhatIsOutOfRange) {
  const double nan = std::nan("");
  for (const double q : {-1e-9, 1 + 1e-9, nan, kInfinity})
    EXPECT_THROW(OneEpsilon(q, 1, 1, 1e-5), std::invalid_argument);
  for (const double sigma : {-1e-9, nan, kInfinity, -kInfinity})
    EXPECT_THROW(OneEpsilon(0.1, sigma, 1, 1e-5), std::invalid_argument);
  for (const double delta : {0.0, 1.0, -1e-5, nan, kInfinity})
    EXPECT_THROW(OneEpsilon(0.1, 1, 1, delta), std::invalid_argument);
  const Releases one{0.1, 1, 1};
  for (const double grid : {0.0, -1.0, nan, kInfinity})
    EXPECT_THROW(PldEpsilon({&one, 1}, 1e-5, grid), std::invalid_argument);
}

TEST(PldTest, RefusesDeltasThatRoundingWouldBlurAndSaysWhatToDo) {
  EXPECT_GT(OneEpsilon(0.1, 1, 1, 1e-9), 0);
  try {
    OneEpsilon(0.1, 1, 1, 0.99e-9);
    FAIL() << "accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("use the rdp accountant"));
  }
}

// The published effect of the grid: q .01, sigma 1, 1000 steps, delta 1e-5.
TEST(PldTest, ErrsUpwardsByTheGridAndLessOnAFinerOne) {
  const Releases row{0.01, 1, 1000};
  EXPECT_NEAR(PldEpsilon({&row, 1}, 1e-5, 1e-2), 1.9014362726512979, 1e-6);
  EXPECT_NEAR(PldEpsilon({&row, 1}, 1e-5, 1e-3), 1.82893441366222, 1e-6);
  EXPECT_NEAR(PldEpsilon({&row, 1}, 1e-5, 1e-4), 1.8282436452775885, 1e-6);
}

}  // namespace
}  // namespace hearsay::dp
