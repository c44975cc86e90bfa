#include "dp/rdp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ctime>
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

// Fractional and integer orders, both sides of q = 1/2, much noise and little.
// Oracle: quadrature of E[r^a - 1 - a (r - 1)] in 50 digits (mpmath), a way
// that shares nothing with the series.
struct Moment {
  double q, sigma, alpha;
  long double log_a;
};
constexpr Moment kMoments[] = {
    {0.04, 1.5, 3.9, 0.0053162863787931897766L},
    {1e-07, 0.1, 1.01, 4.0034123225263985848e-8L},
    {0.5, 1.0, 1.1, 0.015613047568549312276L},
    {0.5, 1.0, 2.5, 0.76584057138544747342L},
    {0.5, 100.0, 1.1, 1.3750206247507897792e-6L},
    {0.9, 3.0, 1.1, 0.0049576953534429577747L},
    {0.3, 0.5, 1.3, 0.16266719437654532444L},
    {0.01, 0.35, 1.6, 0.025864976702393763422L},
    {0.001, 30.0, 10.9, 5.9983910992435016732e-8L},
    {1e-09, 5.0, 1.5, 1.5304040321829053878e-20L},
    {0.999, 0.8, 4.7, 13.58124966206329513L},
    {0.2, 8.0, 10.3, 0.030808854261428638614L},
    {0.5, 10000.0, 1.1, 1.3750000020625013298e-10L},
    {0.02, 1.1, 6.7, 0.012134617041759847595L},
    {0.49, 2.0, 9.9, 5.1743596201000715889L},
    {0.75, 0.2, 1.2, 2.6682014856171769817L},
};

// Epsilon at the best order, from moments of the same quadrature.
struct Reference {
  Releases releases;
  double delta;
  long double epsilon;
  double order;
};
constexpr Reference kReferences[] = {
    {{0.01, 0.7, 120}, 1e-05, 3.2391921939131289946L, 4.4},
    {{0.01, 0.35, 120}, 1e-05, 22.597035813674510932L, 1.6},
    {{1.0, 0.7, 2}, 1e-05, 10.860203573969253218L, 3.3},
    {{0.0064, 1.0, 782}, 1e-06, 1.6163940513367176264L, 9.3},
    {{1.0, 1.0, 5}, 1e-06, 13.376379163357949871L, 3.2},
    {{0.04, 1.5, 2249}, 1e-05, 7.3272779692845903858L, 3.9},
    {{0.04, 1.416, 2250}, 1e-05, 7.9981619739809001643L, 3.7},
    {{0.04, 1.3562, 2000}, 1e-05, 7.9993889096598614554L, 3.7},
    {{0.04, 1.2915, 2000}, 1e-05, 8.6512376150299806047L, 3.5},
    {{0.0025, 1.3, 6000}, 1e-05, 0.72422340261059640666L, 19.0},
    {{0.004266666666666667, 1.1, 14063}, 1e-05, 2.5966555286809167575L, 8.1},
    {{0.004266666666666667, 1.3, 3516}, 1e-05, 0.95456395314614519671L, 17.0},
    {{0.004, 1.1, 15000}, 1e-05, 2.5028709266189950014L, 8.4},
    {{0.004, 1.3, 3750}, 1e-05, 0.92204894276966982029L, 17.0},
    {{0.004, 0.7, 11250}, 1e-05, 6.0925352474132668748L, 3.8},
    {{0.00256, 0.9, 4900}, 1e-05, 1.4866091321735084187L, 8.8},
    {{0.01, 0.67379294682, 1}, 1e-05, 2.3201307974707895743L, 5.1},
    {{0.01, 2.5, 50}, 1e-05, 0.1447863792989890892L, 57.0},
    {{0.01, 4.0, 10000}, 1e-05, 1.0354900660362966974L, 17.0},
    {{0.1, 2.0, 100}, 1e-05, 2.5805688086614728864L, 7.6},
    {{0.5, 5.0, 100}, 1e-06, 5.3812883512958450467L, 5.7},
    {{0.01, 1.0, 1000}, 1e-05, 2.1013652716483951883L, 7.8},
    {{0.08192, 3.0, 875}, 1e-05, 3.9102118256914067178L, 6.1},
    {{0.0001, 0.5, 100000}, 1e-07, 4.695238845142448812L, 4.2},
    {{1.0, 4.530877117, 1}, 1e-06, 1.0000002896457596117L, 22.0},
};

double OneEpsilon(double q, double sigma, std::uint64_t steps, double delta) {
  return RdpEpsilon({q, sigma, steps}, delta).epsilon;
}

TEST(RdpTest, ComputesMomentsToTenDigitsAndNeverBelow) {
  for (const Moment& moment : kMoments) {
    const double found = LogMoment(moment.q, moment.sigma, moment.alpha);
    SCOPED_TRACE(testing::Message()
                 << moment.q << ' ' << moment.sigma << ' ' << moment.alpha);
    EXPECT_GE(found, moment.log_a);
    EXPECT_LE(found, moment.log_a * (1 + 1e-10L) + 1e-17L);
  }
}

TEST(RdpTest, AgreesWithTheSharedFiftyDigitMoments) {
  const auto file = tests::SharedFile("oracles/single_step.txt");
  if (!file) GTEST_SKIP() << tests::kNoShared;
  std::ifstream lines(*file);
  int compared = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string kind;
    double q = 0;
    double sigma = 0;
    double alpha = 0;
    double log_a = 0;
    words >> kind >> q >> sigma >> alpha >> log_a;
    if (kind != "logA") continue;
    const bool integer = alpha == std::floor(alpha);
    EXPECT_NEAR(LogMoment(q, sigma, alpha) / log_a, 1, integer ? 1e-10 : 1e-8)
        << line;
    ++compared;
  }
  EXPECT_GE(compared, 20);
}

TEST(RdpTest, NeverUnderstatesEpsilonAndOverstatesItByLessThanABillionth) {
  for (const Reference& row : kReferences) {
    const EpsilonBound found = RdpEpsilon(row.releases, row.delta);
    SCOPED_TRACE(testing::Message() << row.releases.sample_rate << ' '
                                    << row.releases.noise_multiplier);
    EXPECT_GE(found.epsilon, row.epsilon);
    EXPECT_LE(found.epsilon, row.epsilon + 1e-9L);
    EXPECT_EQ(found.order, row.order);
  }
}

TEST(RdpTest, AgreesWithOpacusAndGoogleOnTheSharedTable) {
  const auto file = tests::SharedFile("oracles/subsampled_gaussian.tsv");
  if (!file) GTEST_SKIP() << tests::kNoShared;
  std::ifstream lines(*file);
  std::string line;
  std::getline(lines, line);
  int compared = 0;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    Releases releases;
    double delta = 0;
    double epsilon = 0;
    double order = 0;
    words >> releases.sample_rate >> releases.noise_multiplier >>
        releases.steps >> delta >> epsilon >> order;
    // Integer orders are exact there; Opacus drops terms below e^-30 from the
    // series of the others, times up to 1e5 steps.
    const bool integer = order == std::floor(order);
    const EpsilonBound found = RdpEpsilon(releases, delta);
    EXPECT_NEAR(found.epsilon, epsilon, integer ? 1e-9 : 2e-9) << line;
    EXPECT_EQ(found.order, order) << line;
    ++compared;
  }
  EXPECT_GE(compared, 25);
}

// Values printed in TensorFlow Privacy's tests: q .01, sigma 2.5, 50 steps. At
// fractional orders that library adds the binomials without their signs and so
// overstates: there the third column is the quadrature's.
TEST(RdpTest, AgreesWithThePublishedVectorOfDivergences) {
  struct Row {
    double order, published, exact;
  };
  for (const Row& row : {Row{1.5, 6.70579741e-4, 6.50070897188e-4},
                         {2.5, 1.08548710e-3, 1.08541805692e-3},
                         {5, 2.18075656e-3, 2.18075656231e-3},
                         {50, 2.38460375e-2, 2.38460375387e-2},
                         {100, 1.67416308e2, 1.67416307548e2}}) {
    const double found = 50 * LogMoment(0.01, 2.5, row.order) / (row.order - 1);
    EXPECT_NEAR(found / row.exact, 1, 1e-11) << row.order;
    EXPECT_LE(found, row.published * (1 + 5e-9)) << row.order;
    if (row.order == std::floor(row.order)) {
      EXPECT_NEAR(found / row.published, 1, 5e-9) << row.order;
    }
  }
}

// Two schedules whose phases differ in q and sigma, unsampled ones among them.
// Oracles: Google's dp_accounting, which overstates at fractional orders (all
// but the first), and the quadrature.
TEST(RdpTest, ComposesHeterogeneousPhases) {
  RdpAccountant a;
  a.Add({0.01, 1.0, 500});
  a.Add({0.02, 1.5, 500});
  a.Add({1, 10, 1});
  RdpAccountant b;
  b.Add({0.005, 0.8, 100});
  b.Add({1, 8, 200});
  struct Row {
    const RdpAccountant& phases;
    double delta, google;
    long double exact;
  };
  for (const Row& row :
       {Row{a, 1e-5, 2.187668341611592, 2.1876683416116139488L},
        {a, 1e-6, 2.5139851289859734, 2.5139850748532464538L},
        {b, 1e-5, 9.2531746355929, 9.2531697771269655117L},
        {b, 1e-6, 10.108877474421742, 10.108873642574485571L}}) {
    const double found = row.phases.Epsilon(row.delta).epsilon;
    EXPECT_GE(found, row.exact);
    EXPECT_LE(found, row.exact + 1e-9L);
    EXPECT_NEAR(found, row.google, 1e-5);
    EXPECT_LE(found, row.google + 1e-9);
  }
  EXPECT_NEAR(a.Epsilon(1e-5).epsilon, 2.187668341611592, 1e-9);
}

TEST(RdpTest, HasTheOrdersOfTheReferences) {
  const auto orders = RenyiOrders();
  ASSERT_EQ(orders.size(), 99U + 53U + 4U);
  EXPECT_EQ(orders.front(), 1.1);
  EXPECT_EQ(orders[98], 10.9);
  EXPECT_EQ(orders[99], 11);
  EXPECT_EQ(orders[151], 63);
  EXPECT_EQ(orders[152], 128);
  EXPECT_EQ(orders.back(), 1024);
  EXPECT_TRUE(std::is_sorted(orders.begin(), orders.end()));
}

TEST(RdpTest, GivesTheClosedFormOfTheUnsampledGaussian) {
  for (const double sigma : {0.01, 0.7, 1.0, 30.0, 1e5})
    for (const double alpha : RenyiOrders())
      EXPECT_NEAR(
          LogMoment(1, sigma, alpha) / (alpha - 1) * 2 * sigma * sigma / alpha,
          1, 1e-12);
}

TEST(RdpTest, ComesToTheUnsampledGaussianAsTheRateComesToOne) {
  for (const double sigma : {0.5, 1.0, 5.0})
    for (const double alpha : {1.1, 2.0, 3.7, 10.9, 32.0})
      EXPECT_NEAR(LogMoment(std::nextafter(1.0, 0.0), sigma, alpha) /
                      LogMoment(1, sigma, alpha),
                  1, 1e-9)
          << sigma << ' ' << alpha;
}

// A curve of moments is smooth and convex in the order, so the fractional
// series and the integer expansion have to meet.
TEST(RdpTest, MeetsTheIntegerOrdersFromBothSides) {
  for (const double q : {1e-6, 0.01, 0.3, 0.5, 0.9})
    for (const double sigma : {0.3, 1.0, 4.0})
      for (const double order : {2.0, 3.0, 7.0, 10.0}) {
        const double below = LogMoment(q, sigma, order - 1e-7);
        const double at = LogMoment(q, sigma, order);
        const double above = LogMoment(q, sigma, order + 1e-7);
        EXPECT_LT(below, at);
        EXPECT_LT(at, above);
        EXPECT_NEAR((below + above) / 2 / at, 1, 1e-9) << q << ' ' << sigma;
      }
}

TEST(RdpTest, LosesNothingWithoutSamplingAndEverythingWithoutNoise) {
  for (const double alpha : {1.1, 2.0, 1024.0}) {
    EXPECT_EQ(LogMoment(0, 1, alpha), 0);
    EXPECT_EQ(LogMoment(0, 0, alpha), 0);
    EXPECT_EQ(LogMoment(0.01, 0, alpha), kInfinity);
    EXPECT_EQ(LogMoment(1, 0, alpha), kInfinity);
  }
  EXPECT_EQ(OneEpsilon(0, 1, 1000, 1e-5), 0);
  EXPECT_EQ(OneEpsilon(0, 0, 1000, 1e-5), 0);
  EXPECT_EQ(OneEpsilon(0.01, 0, 1, 1e-5), kInfinity);
  EXPECT_EQ(OneEpsilon(0.01, 0, 0, 1e-5), 0);
  EXPECT_EQ(RdpAccountant().Epsilon(1e-5).epsilon, 0);
  RdpAccountant mixed;
  mixed.Add({0.01, 1, 10});
  mixed.Add({0.01, 0, 1});
  EXPECT_EQ(mixed.Epsilon(1e-5).epsilon, kInfinity);
  mixed.Add({0.01, 1, 10});
  EXPECT_EQ(mixed.Epsilon(1e-5).epsilon, kInfinity);
}

// delta^2 >= 1 - exp(-KL) is a total variation of at most delta.
TEST(RdpTest, SaysZeroWhereDeltaAloneIsEnough) {
  EXPECT_EQ(OneEpsilon(1e-9, 100, 10, 1e-3), 0);
  EXPECT_GT(OneEpsilon(0.1, 1, 10, 1e-3), 0);
}

TEST(RdpTest, StaysFiniteAndOrderedAtTheEdgesOfDouble) {
  for (const double q : {5e-324, 1e-300, 1e-30, 0.5, 1 - 1e-16})
    for (const double sigma : {1e-300, 1e-150, 1e-3, 1e3, 1e150, 1e300})
      for (const double alpha : RenyiOrders()) {
        const double moment = LogMoment(q, sigma, alpha);
        ASSERT_FALSE(std::isnan(moment)) << q << ' ' << sigma << ' ' << alpha;
        ASSERT_GE(moment, 0);
        // Sampling never costs privacy.
        ASSERT_LE(moment, LogMoment(1, sigma, alpha) * (1 + 1e-9) + 5e-324)
            << q << ' ' << sigma << ' ' << alpha;
      }
}

TEST(RdpTest, GrowsWithRateAndStepsAndFallsWithNoiseAndDelta) {
  const double rates[] = {1e-5, 1e-3, 0.01, 0.1, 0.4999, 0.5, 0.5001, 0.9, 1};
  const double noises[] = {0.3, 0.5, 0.9, 1, 1.1, 2, 5, 20, 1000};
  const std::uint64_t steps[] = {1, 2, 10, 1000, 1'000'000};
  const double deltas[] = {1e-12, 1e-9, 1e-5, 1e-3, 0.1};
  for (std::size_t i = 1; i < std::size(rates); ++i)
    for (const double sigma : {0.4, 1.0, 6.0})
      EXPECT_GE(OneEpsilon(rates[i], sigma, 100, 1e-5),
                OneEpsilon(rates[i - 1], sigma, 100, 1e-5));
  for (std::size_t i = 1; i < std::size(noises); ++i)
    for (const double q : {0.001, 0.3, 1.0})
      EXPECT_LE(OneEpsilon(q, noises[i], 100, 1e-5),
                OneEpsilon(q, noises[i - 1], 100, 1e-5));
  for (std::size_t i = 1; i < std::size(steps); ++i)
    EXPECT_GT(OneEpsilon(0.01, 1, steps[i], 1e-5),
              OneEpsilon(0.01, 1, steps[i - 1], 1e-5));
  for (std::size_t i = 1; i < std::size(deltas); ++i)
    EXPECT_LT(OneEpsilon(0.01, 1, 1000, deltas[i]),
              OneEpsilon(0.01, 1, 1000, deltas[i - 1]));
}

TEST(RdpTest, ComposesInPartsAndInAnyOrder) {
  const Releases phases[] = {
      {0.01, 1.1, 300}, {0.2, 4, 20}, {1, 30, 5}, {0.01, 0.7, 7}};
  RdpAccountant forwards;
  RdpAccountant backwards;
  RdpAccountant in_parts;
  for (const Releases& phase : phases) forwards.Add(phase);
  for (std::size_t i = std::size(phases); i-- > 0;) backwards.Add(phases[i]);
  for (const std::uint64_t part : {1, 2, 3})
    for (const Releases& phase : phases) {
      const std::uint64_t third = phase.steps / 3;
      in_parts.Add({phase.sample_rate, phase.noise_multiplier,
                    part == 3 ? phase.steps - 2 * third : third});
    }
  for (const double delta : {1e-9, 1e-5, 1e-2}) {
    const double expected = forwards.Epsilon(delta).epsilon;
    EXPECT_NEAR(backwards.Epsilon(delta).epsilon / expected, 1, 1e-13);
    EXPECT_NEAR(in_parts.Epsilon(delta).epsilon / expected, 1, 1e-13);
  }
}

TEST(RdpTest, NeverGainsPrivacyFromManySmallAdditions) {
  RdpAccountant one_by_one;
  for (int step = 0; step < 20'000; ++step) one_by_one.Add({0.01, 1, 1});
  const double at_once = OneEpsilon(0.01, 1, 20'000, 1e-5);
  const double found = one_by_one.Epsilon(1e-5).epsilon;
  EXPECT_GE(found, at_once);
  EXPECT_LE(found, at_once * (1 + 1e-10));
}

TEST(RdpTest, PredictsWhatAddingWouldSay) {
  RdpAccountant accountant;
  accountant.Add({0.01, 1, 100});
  const double before = accountant.Epsilon(1e-5).epsilon;
  const Releases next{0.05, 2, 50};
  const double predicted = accountant.EpsilonAfter(next, 1e-5).epsilon;
  EXPECT_EQ(accountant.Epsilon(1e-5).epsilon, before);
  accountant.Add(next);
  EXPECT_EQ(accountant.Epsilon(1e-5).epsilon, predicted);
  EXPECT_GT(predicted, before);
}

TEST(RdpTest, RefusesWhatIsOutOfRange) {
  const double nan = std::nan("");
  RdpAccountant accountant;
  for (const double q : {-1e-9, 1 + 1e-9, nan, kInfinity}) {
    EXPECT_THROW(accountant.Add({q, 1, 1}), std::invalid_argument);
    EXPECT_THROW(accountant.Add({q, 1, 0}), std::invalid_argument);
    EXPECT_THROW(accountant.EpsilonAfter({q, 1, 1}, 1e-5),
                 std::invalid_argument);
    EXPECT_THROW(RdpEpsilon({q, 1, 1}, 1e-5), std::invalid_argument);
    EXPECT_THROW(CalibrateNoise(q, 1, 1e-5, 1), std::invalid_argument);
  }
  for (const double sigma : {-1e-9, nan, kInfinity, -kInfinity})
    EXPECT_THROW(accountant.Add({0.1, sigma, 1}), std::invalid_argument);
  for (const double delta : {0.0, 1.0, -1e-5, nan, kInfinity}) {
    EXPECT_THROW(accountant.Epsilon(delta), std::invalid_argument);
    EXPECT_THROW(CalibrateNoise(0.1, 1, delta, 1), std::invalid_argument);
  }
  for (const double alpha : {1.0, 0.5, -2.0, 2e6, nan, kInfinity})
    EXPECT_THROW(LogMoment(0.1, 1, alpha), std::invalid_argument);
  for (const double epsilon : {0.0, -1.0, nan, kInfinity})
    EXPECT_THROW(CalibrateNoise(0.1, 1, 1e-5, epsilon), std::invalid_argument);
  EXPECT_EQ(accountant.Epsilon(1e-5).epsilon, 0) << "a refusal left a trace";
}

TEST(RdpTest, NeedsLessThanTwentyMillisecondsForAnEvaluation) {
  // Processor time, the least of five, so that a busy machine does not matter;
  // the aim is 5 ms in a release build.
  for (const auto& [q, sigma] :
       {std::pair{0.01, 1.0}, {0.5, 1.0}, {0.5, 0.1}, {0.999, 5.0}}) {
    double least = kInfinity;
    for (int round = 0; round < 5; ++round) {
      const std::clock_t start = std::clock();
      RdpEpsilon({q, sigma, 1000}, 1e-5);
      least = std::min(
          least, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    }
    EXPECT_LT(least, 0.02) << q << ' ' << sigma;
  }
}

TEST(CalibrateNoiseTest, ReturnsTheLeastNoiseThatFitsAndNeverLess) {
  for (const double q : {0.001, 0.02, 0.5, 1.0})
    for (const double target : {0.1, 1.0, 8.0, 50.0}) {
      const double sigma = CalibrateNoise(q, 500, 1e-5, target);
      EXPECT_LE(OneEpsilon(q, sigma, 500, 1e-5), target);
      EXPECT_GT(OneEpsilon(q, sigma * (1 - 1.1e-4), 500, 1e-5), target);
    }
}

// The other way round: the noise of each published row comes back from its
// epsilon, from above.
TEST(CalibrateNoiseTest, FindsTheNoiseOfThePublishedRows) {
  for (const Reference& row : kReferences) {
    const double sigma =
        CalibrateNoise(row.releases.sample_rate, row.releases.steps, row.delta,
                       static_cast<double>(row.epsilon));
    const double published = row.releases.noise_multiplier;
    EXPECT_GE(sigma, published * (1 - 1e-9));
    EXPECT_LE(sigma, published * (1 + 1.1e-4));
  }
}

TEST(CalibrateNoiseTest, NeedsNoNoiseWhereNothingIsReleased) {
  EXPECT_EQ(CalibrateNoise(0, 100, 1e-5, 1), 0);
  EXPECT_EQ(CalibrateNoise(0.1, 0, 1e-5, 1), 0);
}

TEST(CalibrateNoiseTest, SaysSoWhenNoNoiseIsEnough) {
  try {
    CalibrateNoise(1, 1'000'000'000'000'000'000, 1e-12, 1e-9);
    FAIL() << "found some";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("no noise multiplier up to 1e+06"),
              std::string::npos)
        << error.what();
  }
}

TEST(CalibrateNoiseTest, StopsAtTheLeastNoise) {
  EXPECT_EQ(CalibrateNoise(0.5, 1, 1e-5, 1e300), kLeastNoise);
}

}  // namespace
}  // namespace hearsay::dp
