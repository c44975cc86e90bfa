#include "dp/accountant.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "dp/pld.h"
#include "dp/rdp_filter.h"

namespace hearsay::dp {
namespace {

double One(Accountant accountant, const Releases& releases, double delta) {
  return EpsilonOf(accountant, {&releases, 1}, delta);
}

TEST(AccountantTest, PldIsNeverAboveTheRenyiBound) {
  for (const double q : {1e-5, 0.001, 0.4, 1.0})
    for (const double sigma : {0.5, 3.0, 30.0})
      for (const std::uint64_t steps : {1, 3000, 1'000'000})
        for (const double delta : {1e-9, 1e-5}) {
          const Releases releases{q, sigma, steps};
          EXPECT_LE(One(Accountant::kPld, releases, delta),
                    One(Accountant::kRdp, releases, delta));
        }
}

TEST(AccountantTest, ComposesPhases) {
  const Releases a[] = {{0.01, 1, 500}, {0.02, 1.5, 500}, {1, 10, 1}};
  EXPECT_NEAR(EpsilonOf(Accountant::kRdp, a, 1e-5), 2.187668341611592, 1e-9);
  EXPECT_NEAR(EpsilonOf(Accountant::kPld, a, 1e-5), 1.9396476425415292, 1e-6);
}

TEST(AccountantTest, RefusesForPldWhatPldRefuses) {
  EXPECT_GT(One(Accountant::kRdp, {0.1, 1, 1}, 1e-12), 0);
  EXPECT_THROW(One(Accountant::kPld, {0.1, 1, 1}, 1e-12),
               std::invalid_argument);
  EXPECT_THROW(CalibrateNoise(Accountant::kPld, 0.1, 1, 1e-12, 1),
               std::invalid_argument);
  EXPECT_THROW(CalibrateNoise(Accountant::kPld, 2, 1, 1e-5, 1),
               std::invalid_argument);
  EXPECT_THROW(CalibrateNoise(Accountant::kPld, 0.1, 1, 1e-5, 0),
               std::invalid_argument);
}

// One release of Gaussian noise on a sum that a record moves by 1: Balle and
// Wang 2018 (arXiv:1805.06083), Theorem 8, evaluated here on its own.
TEST(AccountantTest, OneReleaseOfStatisticsCostsWhatTheGaussianMechanismDoes) {
  const auto phi = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2)); };
  for (const double sigma : {0.5, 2.0, 10.0, 50.0})
    for (const double delta : {1e-8, 1e-5}) {
      const auto delta_of = [&](double epsilon) {
        return phi(0.5 / sigma - epsilon * sigma) -
               std::exp(epsilon) * phi(-0.5 / sigma - epsilon * sigma);
      };
      double low = 0, high = 100;
      for (int i = 0; i < 100; ++i) {
        const double middle = (low + high) / 2;
        (delta_of(middle) > delta ? low : high) = middle;
      }
      const double pld = One(Accountant::kPld, {1, sigma, 1}, delta);
      const double rdp = One(Accountant::kRdp, {1, sigma, 1}, delta);
      EXPECT_GE(pld, low - 1e-6) << sigma;
      EXPECT_LE(pld, low + 2e-4) << sigma;
      EXPECT_GE(rdp, low) << sigma;
      EXPECT_LE(rdp, 1.25 * low) << sigma;
    }
}

TEST(CalibrateNoiseTest, AfterWhatWasSpentLeavesRoomForIt) {
  const Releases spent{1, 20, 1};
  for (const auto accountant : {Accountant::kRdp, Accountant::kPld}) {
    const double alone = CalibrateNoise(accountant, 0.01, 300, 1e-5, 1);
    EXPECT_EQ(CalibrateNoiseAfter(accountant, {}, 0.01, 300, 1e-5, 1), alone);
    const double after =
        CalibrateNoiseAfter(accountant, {&spent, 1}, 0.01, 300, 1e-5, 1);
    EXPECT_GT(after, alone);
    const auto both = [&](double sigma) {
      const Releases all[] = {spent, {0.01, sigma, 300}};
      return EpsilonOf(accountant, all, 1e-5);
    };
    EXPECT_LE(both(after), 1);
    EXPECT_GT(both(after * (1 - 2e-4)), 1);
  }
  const Releases much{1, 0.5, 1};
  EXPECT_THROW(
      CalibrateNoiseAfter(Accountant::kRdp, {&much, 1}, 0.01, 300, 1e-5, 1),
      std::runtime_error);
}

TEST(CalibrateNoiseTest, ByPldIsTheLeastNoiseThatFitsAndNeverLess) {
  for (const double q : {0.002, 0.5, 1.0})
    for (const double target : {0.2, 3.0}) {
      const double sigma =
          CalibrateNoise(Accountant::kPld, q, 300, 1e-5, target);
      EXPECT_LE(One(Accountant::kPld, {q, sigma, 300}, 1e-5), target);
      EXPECT_GT(One(Accountant::kPld, {q, sigma * (1 - 1.1e-4), 300}, 1e-5),
                target);
      EXPECT_LT(sigma, CalibrateNoise(q, 300, 1e-5, target));
    }
  EXPECT_EQ(CalibrateNoise(Accountant::kPld, 0, 100, 1e-5, 1), 0);
  EXPECT_EQ(CalibrateNoise(Accountant::kPld, 0.5, 1, 1e-5, 1e300), kLeastNoise);
}

// The unsampled Gaussian of sensitivity 1 has a closed form: sigma 4.530877117
// has RDP epsilon 1 at delta 1e-6, and the exact one is 0.9273923.
TEST(CalibrateNoiseTest, ByPldAgreesWithTheExactGaussian) {
  EXPECT_NEAR(CalibrateNoise(Accountant::kPld, 1, 1, 1e-6, 0.927392337998),
              4.530877117, 5e-4);
}

TEST(StepsWithinTest, StopsAtTheLastStepThatFits) {
  for (const auto accountant : {Accountant::kRdp, Accountant::kPld})
    for (const std::uint64_t before : {0, 100}) {
      const Releases spent{0.02, 1.1, before};
      const Releases more{0.01, 1, ~std::uint64_t{0}};
      const std::uint64_t fit =
          StepsWithin(accountant, {&spent, 1}, more, 1e-5, 2.5);
      ASSERT_GT(fit, 0U);
      Releases both[] = {spent, {0.01, 1, fit}};
      EXPECT_LE(EpsilonOf(accountant, both, 1e-5), 2.5);
      both[1].steps = fit + 1;
      EXPECT_GT(EpsilonOf(accountant, both, 1e-5), 2.5);
      EXPECT_EQ(
          StepsWithin(accountant, {&spent, 1}, {0.01, 1, fit - 1}, 1e-5, 2.5),
          fit - 1);
      EXPECT_EQ(
          StepsWithin(accountant, {&spent, 1}, {0.01, 1, fit + 1}, 1e-5, 2.5),
          fit);
    }
}

TEST(StepsWithinTest, AllowsNothingWhereTheTargetIsPassed) {
  const Releases spent{0.5, 0.5, 100};
  for (const auto accountant : {Accountant::kRdp, Accountant::kPld})
    EXPECT_EQ(StepsWithin(accountant, {&spent, 1}, {0.01, 1, 50}, 1e-5, 1), 0U);
}

TEST(RdpFilterTest, PassesStepsOfAFixedScheduleAsTheAccountantDoes) {
  const Releases step{0.01, 1, 1};
  const RdpFilter filter(step, 1e-5, 2);
  const std::uint64_t fit = filter.StepsThatPass({0.01, 1, 1'000'000});
  EXPECT_EQ(fit,
            StepsWithin(Accountant::kRdp, {}, {0.01, 1, 1'000'000}, 1e-5, 2));
}

// Its order is fixed, so what passes never exceeds epsilon at that order,
// however the parameters are picked; here by an adversary who always asks for
// the largest step that still passes.
TEST(RdpFilterTest, NeverPassesItsEpsilonWhateverIsAskedOfIt) {
  constexpr double kEpsilon = 3;
  RdpFilter filter({0.01, 1, 1}, 1e-6, kEpsilon);
  RdpAccountant all;
  const std::array<Releases, 4> asked = {Releases{0.01, 1, 700},
                                         {0.2, 4, 1000},
                                         {0.001, 0.9, 5000},
                                         {1, 60, 1'000'000}};
  for (const Releases& releases : asked) {
    Releases passed = releases;
    passed.steps = filter.StepsThatPass(releases);
    EXPECT_GT(passed.steps, 0U) << releases.noise_multiplier;
    Releases half = passed;
    half.steps = (passed.steps + 1) / 2;
    filter.Count(half);
    all.Add(half);
    EXPECT_LE(filter.Epsilon(), kEpsilon);
    EXPECT_GE(filter.Epsilon(), all.Epsilon(1e-6).epsilon);
  }
  Releases rest = asked[0];
  rest.steps = filter.StepsThatPass({0.01, 1, 1'000'000});
  filter.Count(rest);
  EXPECT_LE(filter.Epsilon(), kEpsilon);
  filter.Count(asked[0]);
  EXPECT_GT(filter.Epsilon(), kEpsilon);
  EXPECT_EQ(filter.StepsThatPass({0.01, 1, 1}), 0U);
}

TEST(RdpFilterTest, PassesNothingWithoutNoiseAndEverythingWithoutSampling) {
  const RdpFilter filter({0.01, 1, 1}, 1e-5, 1);
  EXPECT_EQ(filter.StepsThatPass({0.01, 0, 5}), 0U);
  EXPECT_EQ(filter.StepsThatPass({0, 1, 5}), 5U);
  EXPECT_EQ(filter.Epsilon(), 0);
  // Below what the conversion alone costs at any order, nothing passes.
  EXPECT_EQ(RdpFilter({0.01, 1, 1}, 1e-5, 1e-6).StepsThatPass({0.01, 1, 5}),
            0U);
}

TEST(RdpFilterTest, RefusesWhatIsOutOfRange) {
  const double nan = std::nan("");
  for (const double delta : {0.0, 1.0, nan})
    EXPECT_THROW(RdpFilter({0.01, 1, 1}, delta, 1), std::invalid_argument);
  for (const double epsilon : {0.0, -1.0, nan})
    EXPECT_THROW(RdpFilter({0.01, 1, 1}, 1e-5, epsilon), std::invalid_argument);
  EXPECT_THROW(RdpFilter({2, 1, 1}, 1e-5, 1), std::invalid_argument);
  RdpFilter filter({0.01, 1, 1}, 1e-5, 1);
  EXPECT_THROW(filter.Count({0.01, nan, 1}), std::invalid_argument);
  EXPECT_THROW(filter.StepsThatPass({-1, 1, 1}), std::invalid_argument);
}

TEST(RdpFilterTest, ConvertsBothWays) {
  for (const double order : RenyiOrders())
    for (const double epsilon : {0.5, 3.0, 40.0})
      for (const double delta : {1e-12, 1e-5, 0.1}) {
        const double most = DivergenceWithin(order, epsilon, delta);
        if (most < 0) continue;
        EXPECT_LE(EpsilonOfDivergence(order, most, delta), epsilon);
        EXPECT_GE(EpsilonOfDivergence(order, most * (1 + 1e-9) + 1e-12, delta),
                  epsilon);
      }
}

}  // namespace
}  // namespace hearsay::dp
