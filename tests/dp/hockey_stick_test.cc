#include "dp/hockey_stick.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>

#include "tests/support/shared.h"

namespace hearsay::dp {
namespace {

// Fifty digits. Where the table prints zero, epsilon is beyond the most loss.
TEST(StepDeltaTest, HasTenDigitsOfTheSharedValues) {
  const auto file = tests::SharedFile("oracles/single_step.txt");
  if (!file) GTEST_SKIP() << tests::kNoShared;
  std::ifstream lines(*file);
  int compared = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string kind;
    std::string word;
    double q = 0;
    double sigma = 0;
    double epsilon = 0;
    double remove = 0;
    double add = 0;
    words >> kind >> q >> sigma >> epsilon >> word >> remove >> word >> add;
    if (kind != "delta") continue;
    EXPECT_NEAR(StepDelta(q, sigma, epsilon, Neighbour::kRemove), remove,
                remove * 1e-10)
        << line;
    EXPECT_NEAR(StepDelta(q, sigma, epsilon, Neighbour::kAdd), add, add * 1e-10)
        << line;
    ++compared;
  }
  EXPECT_GE(compared, 10);
}

// H(P, Q) at epsilon and H(Q, P) at -epsilon differ by 1 - e^epsilon, whatever
// P and Q are: the two directions check each other.
TEST(StepDeltaTest, IsTheSameCurveFromEitherSide) {
  for (const double q : {1e-6, 0.01, 0.4, 1.0})
    for (const double sigma : {0.3, 1.0, 20.0})
      for (const double epsilon : {-3.0, -0.2, -1e-3, 0.0, 1e-3, 0.2, 3.0}) {
        const double remove = StepDelta(q, sigma, epsilon, Neighbour::kRemove);
        const double add = StepDelta(q, sigma, -epsilon, Neighbour::kAdd);
        EXPECT_NEAR(remove, -std::expm1(epsilon) + std::exp(epsilon) * add,
                    1e-15 * std::exp(std::abs(epsilon)))
            << q << ' ' << sigma << ' ' << epsilon;
      }
}

TEST(StepDeltaTest, FallsWithEpsilonAndNoise) {
  for (const auto neighbour : {Neighbour::kRemove, Neighbour::kAdd})
    for (const double q : {0.01, 0.9}) {
      double last = 1;
      for (double epsilon = -1; epsilon < 8; epsilon += 0.05) {
        const double delta = StepDelta(q, 0.8, epsilon, neighbour);
        EXPECT_LE(delta, last);
        EXPECT_GE(delta, 0);
        EXPECT_GE(delta, StepDelta(q, 0.9, epsilon, neighbour));
        last = delta;
      }
    }
}

TEST(StepDeltaTest, IsNothingWithoutSampling) {
  EXPECT_EQ(StepDelta(0, 1, 0, Neighbour::kRemove), 0);
  EXPECT_EQ(StepDelta(0, 1, 0, Neighbour::kAdd), 0);
  EXPECT_EQ(StepDelta(0, 1, 2, Neighbour::kAdd), 0);
}

TEST(StepDeltaTest, RefusesWhatIsOutOfRange) {
  const double nan = std::nan("");
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double q : {-0.1, 1.1, nan})
    EXPECT_THROW(StepDelta(q, 1, 1, Neighbour::kAdd), std::invalid_argument);
  for (const double sigma : {0.0, -1.0, nan, infinity})
    EXPECT_THROW(StepDelta(0.1, sigma, 1, Neighbour::kAdd),
                 std::invalid_argument);
  for (const double epsilon : {nan, infinity})
    EXPECT_THROW(StepDelta(0.1, 1, epsilon, Neighbour::kAdd),
                 std::invalid_argument);
}

}  // namespace
}  // namespace hearsay::dp
