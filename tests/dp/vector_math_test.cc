#include "dp/vector_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace hearsay::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnits = 8 * std::numeric_limits<double>::epsilon();

// glibc documents four units for the vector library.
TEST(VectorMathTest, IsThatOfOneValueAtATime) {
  std::mt19937_64 engine(1);
  std::vector<double> values = {0,  kInfinity, 1,    0.5,   26,
                                27, 30,        1e-8, 1e300, 5e-324};
  std::uniform_real_distribution<double> exponent(-300, 300), usual(0, 27);
  for (int i = 0; i < 20'000; ++i)
    values.push_back(i % 2 == 0 ? std::pow(10, exponent(engine))
                                : usual(engine));
  std::vector<double> logs = values, tails = values;
  for (std::size_t i = 0; i < tails.size(); i += 3) tails[i] = -tails[i];
  TakeLogs(logs);
  TakeHalfErfcs(tails);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double log = std::log(values[i]), tail = std::erfc(values[i]) / 2;
    if (std::isinf(log))
      EXPECT_EQ(logs[i], log);
    else
      EXPECT_NEAR(logs[i], log, kUnits * std::abs(log)) << values[i];
    // Below that they are denormal, and all that is left is how small.
    EXPECT_NEAR(tails[i], tail, kUnits * tail + 1e-320) << values[i];
  }
}

TEST(VectorMathTest, KeepsWhatIsNoNumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> values = {nan, 1, -1, nan, 2};
  TakeLogs(values);
  EXPECT_TRUE(std::isnan(values[0]) && std::isnan(values[2]));
  values = {nan, -kInfinity};
  TakeHalfErfcs(values);
  EXPECT_TRUE(std::isnan(values[0]));
  EXPECT_EQ(values[1], 0);
  TakeLogs({});
  TakeHalfErfcs({});
}

}  // namespace
}  // namespace hearsay::dp
