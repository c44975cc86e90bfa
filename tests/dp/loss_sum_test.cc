#include "dp/loss_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <numeric>
#include <vector>

#include "dp/fourier.h"
#include "dp/hockey_stick.h"
#include "dp/loss_step.h"

namespace hearsay::dp {
namespace {

// delta(epsilon) of a distribution of losses, as it is defined.
double DeltaOf(const LossPmf& pmf, double grid, double epsilon) {
  double delta = pmf.infinite;
  for (std::size_t i = pmf.mass.size(); i-- > 0;) {
    const double loss = static_cast<double>(pmf.first + std::int64_t(i)) * grid;
    if (loss > epsilon) delta -= pmf.mass[i] * std::expm1(epsilon - loss);
  }
  return delta;
}

// The sum of two, term by term.
LossPmf Convolve(const LossPmf& a, const LossPmf& b) {
  LossPmf sum{a.first + b.first,
              std::vector<double>(a.mass.size() + b.mass.size() - 1),
              a.infinite + b.infinite - a.infinite * b.infinite};
  for (std::size_t i = 0; i < a.mass.size(); ++i)
    for (std::size_t j = 0; j < b.mass.size(); ++j)
      sum.mass[i + j] += a.mass[i] * b.mass[j];
  return sum;
}

double Total(const LossPmf& pmf) {
  return static_cast<double>(
      std::accumulate(pmf.mass.begin(), pmf.mass.end(),
                      static_cast<long double>(pmf.infinite)));
}

// At grid points the discretised step has the exact delta; between them, where
// it is a chord of the curve, more.
TEST(LossStepTest, MeetsTheExactDeltaAtThePointsAndIsAboveBetweenThem) {
  for (const double grid : {1e-4, 1e-2, 0.3})
    for (const double q : {1e-3, 0.1, 0.7, 1.0})
      for (const double sigma : {0.95, 1.5, 4.0}) {
        SCOPED_TRACE(testing::Message() << grid << ' ' << q << ' ' << sigma);
        const auto step = DiscretiseStep(q, sigma, grid, 1e-16);
        ASSERT_TRUE(step);
        for (const auto neighbour : {Neighbour::kRemove, Neighbour::kAdd}) {
          const LossPmf& pmf =
              neighbour == Neighbour::kRemove ? step->remove : step->add;
          EXPECT_NEAR(Total(pmf), 1, 1e-15);
          EXPECT_GE(*std::min_element(pmf.mass.begin(), pmf.mass.end()), 0);
          const auto count = static_cast<std::int64_t>(pmf.mass.size());
          for (std::int64_t i = 0; i < count; i += 1 + count / 50) {
            const double at = static_cast<double>(pmf.first + i) * grid;
            const double exact = StepDelta(q, sigma, at, neighbour);
            EXPECT_NEAR(DeltaOf(pmf, grid, at), exact, 1e-9 * exact + 3e-16);
            const double between = at + 0.4 * grid;
            EXPECT_GE(DeltaOf(pmf, grid, between),
                      StepDelta(q, sigma, between, neighbour) * (1 - 1e-9));
          }
        }
      }
}

TEST(LossStepTest, CountsWhatItDoesNotResolve) {
  const auto step = DiscretiseStep(0.2, 1, 1e-2, 1e-3);
  ASSERT_TRUE(step);
  EXPECT_GT(step->remove.infinite, 0);
  EXPECT_LT(step->remove.infinite, 1e-3);
  EXPECT_NEAR(Total(step->remove), 1, 1e-14);
  for (double epsilon = 0; epsilon < 8; epsilon += 0.1)
    EXPECT_GE(DeltaOf(step->remove, 1e-2, epsilon),
              StepDelta(0.2, 1, epsilon, Neighbour::kRemove) * (1 - 1e-12));
}

TEST(LossStepTest, AsksForACoarserGridWhereThereWouldBeTooManyPoints) {
  EXPECT_FALSE(DiscretiseStep(0.1, 0.01, 1e-4, 1e-12));
  EXPECT_TRUE(DiscretiseStep(0.1, 0.01, 1, 1e-12));
}

TEST(LossSumTest, AgreesWithConvolvingTermByTerm) {
  constexpr double kGrid = 0.02;
  const auto a = DiscretiseStep(0.1, 1, kGrid, 1e-15);
  const auto b = DiscretiseStep(0.4, 2, kGrid, 1e-15);
  ASSERT_TRUE(a && b);
  for (const auto direction : {&StepLoss::remove, &StepLoss::add}) {
    const LossPmf& one = (*a).*direction;
    const LossPmf& other = (*b).*direction;
    const LossPmf sum =
        Convolve(Convolve(one, one), Convolve(Convolve(one, other), other));
    const LossPhase phases[] = {{&one, 3}, {&other, 2}};
    for (const double delta : {1e-9, 1e-7, 1e-4, 1e-2, 0.2}) {
      const auto epsilon = EpsilonOfSum(phases, kGrid, delta);
      ASSERT_TRUE(epsilon);
      const double found = DeltaOf(sum, kGrid, *epsilon);
      EXPECT_LE(found, delta);
      if (*epsilon > 0) {
        EXPECT_GE(found, delta * (1 - 1e-6));
      }
    }
  }
}

// A coin has a binomial sum, whose tail is known without a transform.
TEST(LossSumTest, AgreesWithABinomialFarOutInItsTail) {
  constexpr double kGrid = 0.5;
  constexpr int kSteps = 400;
  const double odds = std::exp(-kGrid);
  const LossPmf coin{-1, {odds / (1 + odds), 0, 1 / (1 + odds)}, 0};
  const LossPhase phase{&coin, kSteps};
  for (const double delta : {1e-9, 1e-5, 1e-1}) {
    const auto epsilon = EpsilonOfSum({&phase, 1}, kGrid, delta);
    ASSERT_TRUE(epsilon);
    long double exact = 0;
    for (int heads = 0; heads <= kSteps; ++heads) {
      const long double loss = kGrid * (2 * heads - kSteps);
      const long double log_mass =
          std::lgamma(kSteps + 1.0L) - std::lgamma(heads + 1.0L) -
          std::lgamma(kSteps - heads + 1.0L) +
          heads * -std::log1p(static_cast<long double>(odds)) +
          (kSteps - heads) * (std::log(static_cast<long double>(odds)) -
                              std::log1p(static_cast<long double>(odds)));
      if (loss > *epsilon)
        exact -= std::exp(log_mass) * std::expm1(*epsilon - loss);
    }
    EXPECT_LE(exact, delta);
    EXPECT_GE(exact, delta * (1 - 1e-6));
  }
}

TEST(LossSumTest, PromisesNothingWhereInfiniteLossesTakeAllOfDelta) {
  const LossPmf leaky{0, {1 - 1e-6}, 1e-6};
  const LossPhase few{&leaky, 5};
  const LossPhase many{&leaky, 20};
  EXPECT_EQ(EpsilonOfSum({&few, 1}, 0.1, 1e-5), 0);
  EXPECT_EQ(EpsilonOfSum({&many, 1}, 0.1, 1e-5),
            std::numeric_limits<double>::infinity());
}

// A step that loses nothing, and whose sum a transform cannot know exactly.
TEST(LossSumTest, CountsTheTransformsRoundingAgainstDelta) {
  const LossPmf still{0, {1}, 0};
  const LossPhase few{&still, 1000};
  const LossPhase many{&still, 100'000'000};
  EXPECT_EQ(EpsilonOfSum({&few, 1}, 0.1, 1e-9), 0);
  EXPECT_GT(EpsilonOfSum({&many, 1}, 0.1, 1e-9), 0);
}

TEST(FourierTest, AgreesWithTheSumThatDefinesItWithinItsOwnBound) {
  for (const std::size_t length : {64, 96, 256}) {
    std::vector<double> values(length);
    double total = 0;
    for (std::size_t i = 0; i < length; ++i) {
      values[i] = std::sin(static_cast<double>(i * i) + 0.3);
      total += std::abs(values[i]);
    }
    Fourier fourier(length);
    std::vector<std::complex<double>> terms(length / 2 + 1);
    fourier.Forward(values, terms);
    for (std::size_t k = 0; k < terms.size(); ++k) {
      std::complex<long double> exact;
      for (std::size_t i = 0; i < length; ++i)
        exact += static_cast<long double>(values[i]) *
                 std::polar(1.0L, -2 * std::numbers::pi_v<long double> *
                                      static_cast<long double>(i * k % length) /
                                      static_cast<long double>(length));
      EXPECT_LE(std::abs(exact - std::complex<long double>(terms[k])),
                fourier.relative_error() * total);
    }
    std::vector<double> again(length);
    fourier.Inverse(terms, again);
    for (std::size_t i = 0; i < length; ++i)
      EXPECT_NEAR(again[i], values[i], 1e-14);
  }
}

TEST(FourierTest, PadsToQuickLengths) {
  EXPECT_EQ(QuickLength(1), 64U);
  EXPECT_EQ(QuickLength(64), 64U);
  EXPECT_EQ(QuickLength(65), 96U);
  EXPECT_EQ(QuickLength(97), 128U);
  EXPECT_EQ(QuickLength(1 << 18), std::size_t{1} << 18);
}

}  // namespace
}  // namespace hearsay::dp
