#include "dp/audit_bounds.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "dp/hockey_stick.h"

namespace hearsay::dp {

namespace {

using Binomial = boost::math::binomial_distribution<double>;

constexpr double kMostEpsilon = 200;  // What no count of canaries disproves.
constexpr double kMostMu = 20;
constexpr int kHalvings = 45;
// The threshold is the best of its half at this confidence, whatever the one of
// the bound: so strict that a few lucky canaries at an end, which the other
// half does not have, do not choose it. (At 0.95 the bound of a mechanism of
// epsilon 4 was below 1.5 in 3 of 40 runs.)
constexpr double kChoosing = 1 - 1e-6;

// Phi and its inverse, with the limits where Boost would throw.
double Phi(double x) {
  if (std::isinf(x)) return x < 0 ? 0 : 1;
  return boost::math::cdf(boost::math::normal(), x);
}
double Quantile(double p) {
  if (p <= 0) return -std::numeric_limits<double>::infinity();
  if (p >= 1) return std::numeric_limits<double>::infinity();
  return boost::math::quantile(boost::math::normal(), p);
}

// The largest value, up to `most`, that is disproved, if smaller ones are, too:
// rounded down. 0 if none is.
template <typename Disproved>
double Largest(double most, const Disproved& disproved) {
  if (!disproved(0.0)) return 0;
  double low = 0, high = most;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    (disproved(middle) ? low : high) = middle;
  }
  return low;
}

// No error at most that often: Clopper and Pearson, one-sided.
double UpperRate(std::uint64_t trials, std::uint64_t events, double alpha) {
  if (events >= trials) return 1;
  return Binomial::find_upper_bound_on_p(static_cast<double>(trials),
                                         static_cast<double>(events), alpha);
}

std::vector<std::size_t> ByScore(std::span<const double> scores) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return scores[a] < scores[b] || (scores[a] == scores[b] && a < b);
  });
  return order;
}

}  // namespace

double OneRunPValue(const Guesses& seen, double epsilon, double delta) {
  assert(seen.correct <= seen.guesses && seen.guesses <= seen.canaries);
  if (seen.correct == 0) return 1;
  const double p = 1 / (1 + std::exp(-epsilon));
  if (p >= 1) return 1;
  const Binomial guesses(static_cast<double>(seen.guesses), p);
  const double tail = boost::math::cdf(
      boost::math::complement(guesses, static_cast<double>(seen.correct) - 1));
  // delta moves at most so much mass to where it helps most.
  double within = 0, worst = 0;
  for (std::uint64_t i = 1; i <= seen.correct; ++i) {
    within += boost::math::pdf(guesses, static_cast<double>(seen.correct - i));
    worst = std::max(worst, within / static_cast<double>(i));
  }
  return std::min(
      1.0, tail + 2 * static_cast<double>(seen.canaries) * delta * worst);
}

double OneRunEpsilon(const Guesses& seen, double delta, double confidence) {
  return Largest(kMostEpsilon, [&](double epsilon) {
    return OneRunPValue(seen, epsilon, delta) <= 1 - confidence;
  });
}

bool OneRunDisprovesGdp(const Guesses& seen, double mu, double confidence) {
  assert(seen.correct <= seen.guesses && seen.guesses <= seen.canaries);
  if (seen.guesses == 0) return false;
  const auto m = static_cast<double>(seen.canaries);
  const auto n = static_cast<double>(seen.guesses);
  const auto v = static_cast<double>(seen.correct);
  const double alpha = 1 - confidence;
  double right = alpha * v / m;        // r of the paper
  double wrong = alpha * (n - v) / m;  // h of the paper
  for (std::uint64_t i = seen.correct; i-- > 0;) {
    const double next = std::max(wrong, Phi(Quantile(right) - mu));
    const auto left = static_cast<double>(i);
    right += left / (n - left) * (next - wrong);
    wrong = next;
  }
  return right + wrong > n / m;
}

double OneRunGdpEpsilon(const Guesses& seen, double delta, double confidence) {
  return EpsilonOfMu(Largest(kMostMu,
                             [&](double mu) {
                               return OneRunDisprovesGdp(seen, mu, confidence);
                             }),
                     delta);
}

double GdpLowerMu(const Errors& errors, double confidence) {
  const double each = (1 - confidence) / 2;
  const double positives = UpperRate(errors.out, errors.wrong_in, each);
  const double negatives = UpperRate(errors.in, errors.wrong_out, each);
  if (positives >= 1 || negatives >= 1) return 0;
  return std::max(0.0, -Quantile(positives) - Quantile(negatives));
}

Guesses GuessBothEnds(const Scored& canaries, std::size_t half) {
  assert(2 * half <= canaries.scores.size());
  const auto order = ByScore(canaries.scores);
  Guesses seen{.canaries = order.size(), .guesses = 2 * half};
  for (std::size_t i = 0; i < half; ++i) {
    seen.correct += canaries.included[order[i]] == 0 ? 1 : 0;
    seen.correct += canaries.included[order[order.size() - 1 - i]] != 0 ? 1 : 0;
  }
  return seen;
}

std::size_t GuessesFor(std::size_t canaries, double mu, double delta,
                       double confidence) {
  std::size_t best = std::max<std::size_t>(1, canaries / 2);
  double most = -1;
  for (const double share :
       {.002, .005, .01, .02, .03, .05, .08, .12, .2, .3}) {
    const auto half =
        static_cast<std::size_t>(share * static_cast<double>(canaries));
    if (half == 0) continue;
    // Scores N(-mu/2, 1) and N(mu/2, 1), half of each: where `share` lie above.
    double low = -40, high = 40;
    for (int i = 0; i < 60; ++i) {
      const double z = (low + high) / 2;
      const double above = (Phi(mu / 2 - z) + Phi(-mu / 2 - z)) / 2;
      (above > share ? low : high) = z;
    }
    const double right = Phi(mu / 2 - low) / (2 * share);
    const Guesses expected{
        .canaries = canaries,
        .guesses = 2 * half,
        .correct = static_cast<std::uint64_t>(std::min(1.0, right) *
                                              static_cast<double>(2 * half))};
    const double bound = OneRunEpsilon(expected, delta, confidence);
    if (bound > most) {
      most = bound;
      best = half;
    }
  }
  return best;
}

double SplitGdpEpsilon(const Scored& canaries, double delta,
                       double confidence) {
  const auto order = ByScore(canaries.scores);
  Errors errors;  // Of the even canaries, all taken for members.
  for (std::size_t i = 0; i < order.size(); i += 2)
    ++(canaries.included[i] != 0 ? errors.in : errors.out);
  errors.wrong_in = errors.out;
  double most = -1;
  double threshold = -std::numeric_limits<double>::infinity();
  for (const std::size_t i : order) {
    if (i % 2 != 0) continue;
    // From here on canary i, and all below it, are taken for outsiders.
    if (canaries.included[i] != 0)
      ++errors.wrong_out;
    else
      --errors.wrong_in;
    const double mu = GdpLowerMu(errors, kChoosing);
    if (mu > most) {
      most = mu;
      threshold = canaries.scores[i];
    }
  }
  Errors held;
  for (std::size_t i = 1; i < order.size(); i += 2) {
    const bool guessed_in = canaries.scores[i] > threshold;
    if (canaries.included[i] != 0) {
      ++held.in;
      held.wrong_out += guessed_in ? 0 : 1;
    } else {
      ++held.out;
      held.wrong_in += guessed_in ? 1 : 0;
    }
  }
  return EpsilonOfMu(GdpLowerMu(held, confidence), delta);
}

double EpsilonOfMu(double mu, double delta) {
  return GaussianEpsilon(mu, delta);
}

double MuOfEpsilon(double epsilon, double delta) {
  return Largest(kMostMu,
                 [&](double mu) { return EpsilonOfMu(mu, delta) <= epsilon; });
}

double TwoSidedQuantile(double confidence) {
  return Quantile((1 + confidence) / 2);
}

}  // namespace hearsay::dp
