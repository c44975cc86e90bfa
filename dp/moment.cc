#include "dp/moment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>
#include <vector>

#include "dp/gaussian_tail.h"

namespace hearsay::dp {
namespace {

constexpr long double kInfinity = std::numeric_limits<long double>::infinity();
constexpr long double kEpsilon = std::numeric_limits<long double>::epsilon();

// Direct terms of the signed series beyond the order, before the transform of
// the tail; and the most that the transform looks at.
constexpr int kDirectTerms = 8;
constexpr int kMostTail = 64;
// What may be left of the tail, relative to the sum.
constexpr long double kTailShare = 1e-12L;

// log(exp(x) - 1), x > 0.
long double LogExpm1(long double x) {
  return x > 64 ? x : std::log(std::expm1(x));
}

// The logarithm of a term, and of what sizes it was added up: a sum of large
// logarithms that nearly cancel has their rounding errors.
struct LogTerm {
  LogTerm& operator+=(long double part) {
    log_size += part;
    parts += std::abs(part);
    return *this;
  }
  long double log_size = 0;
  long double parts = 0;
};

// A sum of signed terms given by their logarithms, scaled by the largest so
// far, with a bound on the error of that sum.
class ScaledSum {
 public:
  void Add(long double sign, const LogTerm& log_term) {
    const long double log_size = log_term.log_size;
    if (log_size == -kInfinity) return;
    if (log_size > scale_) {
      const long double down = std::exp(scale_ - log_size);  // 0 at first
      sum_ *= down;
      error_ *= down;
      scale_ = log_size;
    }
    const long double term = Scaled(log_term);
    sum_ += sign * term;
    error_ += term * RelativeError(log_term);
  }
  // A plain number, for the few terms that have one.
  void AddValue(long double value) {
    LogTerm term;
    term += std::log(std::abs(value));
    Add(value < 0 ? -1 : 1, term);
  }
  // The term on the scale of the sum.
  long double Scaled(const LogTerm& term) const {
    return std::exp(term.log_size - scale_);
  }
  // exp turns the absolute error of its argument into a relative one.
  static long double RelativeError(const LogTerm& term) {
    return kEpsilon * (8 + 2 * term.parts);
  }
  // Adds a number that is on the scale of the sum already.
  void AddScaled(long double value) { sum_ += value; }
  // Counts a number on the scale of the sum as a possible error.
  void Doubt(long double value) { error_ += std::abs(value); }
  bool Dwarfs(long double value) const {
    return std::abs(value) < kTailShare * sum_;
  }
  // log(1 + sum + error), which for 0 <= A - 1 errs upwards only.
  long double LogOnePlusUpperBound() const {
    const long double most = std::max(sum_ + error_, 0.0L);
    if (most == 0) return 0;
    const long double log_most = std::log(most) + scale_;
    return log_most > 64 ? log_most : std::log1p(std::exp(log_most));
  }

 private:
  long double scale_ = -kInfinity;
  long double sum_ = 0;
  long double error_ = 0;
};

// A = E[r^alpha], r = 1-q + q exp((2z-1) / (2 sigma^2)), z ~ N(0, sigma^2).
// The line is cut at z0, where both parts of r are equal, and r^alpha is
// expanded in the smaller part over the larger on either side (privacy.md 2.1).
class Series {
 public:
  Series(long double q, long double sigma, long double alpha)
      : q_(q),
        alpha_(alpha),
        log_q_(std::log(q)),
        log_rest_(std::log1p(-q)),
        scale_(1 / (2 * sigma * sigma)),
        z0_(sigma * sigma * (log_rest_ - log_q_) + 0.5L),
        width_(std::numbers::sqrt2_v<long double> * sigma) {}

  // log A from above.
  long double UpperBound() {
    AddCentre();
    const int direct = static_cast<int>(std::ceil(alpha_)) + kDirectTerms;
    for (; i_ < direct; Next()) {
      if (i_ >= 2) sum_.Add(sign_, Low());
      sum_.Add(sign_, High());
    }
    AddTail();
    return sum_.LogOnePlusUpperBound();
  }

 private:
  // log P(N(mean, sigma^2) < z0), and of the other side.
  long double Below(long double mean) const {
    return LogHalfErfc((mean - z0_) / width_);
  }
  long double Above(long double mean) const {
    return LogHalfErfc((z0_ - mean) / width_);
  }
  // |C(alpha, i)| times the expectation of r's larger part to the power
  // alpha - i and the smaller to i, below and above z0.
  LogTerm Low() const {
    const auto i = static_cast<long double>(i_);
    return Term(i, Below(i));
  }
  LogTerm High() const {
    const long double j = alpha_ - static_cast<long double>(i_);
    return Term(j, Above(j));
  }
  LogTerm Term(long double power, long double log_side) const {
    LogTerm term;
    term += log_binomial_;
    term += power * log_q_;
    term += (alpha_ - power) * log_rest_;
    term += power * (power - 1) * scale_;
    term += log_side;
    return term;
  }
  void Next() {
    const long double left = alpha_ - static_cast<long double>(i_);
    if (left < 0) sign_ = -sign_;
    log_binomial_ += std::log(std::abs(left) / (i_ + 1));
    ++i_;
  }

  // E[r] = 1, so A - 1 = E[r^alpha - 1 - alpha (r - 1)], whose integrand is
  // never negative: all that is neither a power from the third on, nor above
  // z0, taken together so that it nearly cancels here and not in the sum.
  void AddCentre() {
    const long double below_0 = std::exp(Below(0));
    const long double below_1 = std::exp(Below(1));
    const long double slope = alpha_ * q_;
    sum_.AddValue(below_0 * (std::expm1(alpha_ * log_rest_) + slope));
    sum_.AddValue(below_1 * slope * std::expm1((alpha_ - 1) * log_rest_));
    sum_.AddValue(-std::exp(Above(0)) * (1 - slope));
    sum_.AddValue(-std::exp(Above(1)) * slope);
    // What the first of these lost when it cancelled.
    cancelled_ = 4 * kEpsilon * slope * below_0;
  }

  // From i > alpha the terms alternate in sign, and their sizes are moments of
  // a distribution on [0, 1] (a Beta integral times E[x^i], x <= 1), so all
  // their differences are positive: Euler's transform then has positive terms
  // that fall at least as 2^-k, and the last one bounds the rest. The bare
  // series needs thousands of terms at order 1.1.
  void AddTail() {
    if (cancelled_ > 0) {
      LogTerm cancelled;
      cancelled += std::log(cancelled_);
      sum_.Doubt(sum_.Scaled(cancelled));
    }
    // Each of the transform's terms may repeat the rounding error of the first.
    sum_.Doubt(kMostTail * (sum_.Scaled(Low()) * sum_.RelativeError(Low()) +
                            sum_.Scaled(High()) * sum_.RelativeError(High())));
    std::vector<long double> differences;
    const long double sign = sign_;
    long double weight = 0.5L;
    for (int k = 0; k < kMostTail; ++k, Next(), weight /= 2) {
      long double difference = sum_.Scaled(Low()) + sum_.Scaled(High());
      for (long double& d : differences) {
        std::swap(d, difference);
        difference -= d;
      }
      differences.push_back(difference);
      sum_.AddScaled(sign * difference * weight);
      if (sum_.Dwarfs(difference * weight) || k + 1 == kMostTail) {
        sum_.Doubt(2 * difference * weight);
        return;
      }
    }
  }

  const long double q_;
  const long double alpha_;
  const long double log_q_;
  const long double log_rest_;
  const long double scale_;
  const long double z0_;
  const long double width_;
  ScaledSum sum_;
  long double cancelled_ = 0;
  int i_ = 0;
  long double sign_ = 1;
  long double log_binomial_ = 0;
};

}  // namespace

// A = sum_k C(alpha,k) (1-q)^(alpha-k) q^k exp((k^2-k) / (2 sigma^2)). Without
// the exponentials the sum is 1, so A - 1 has the same terms with
// exp(...) - 1: all positive, the first two 0.
long double LogMomentInteger(long double q, long double sigma, int alpha) {
  const long double log_q = std::log(q);
  const long double log_rest = std::log1p(-q);
  const long double scale = 1 / (2 * sigma * sigma);
  ScaledSum sum;
  long double log_binomial = std::log(static_cast<long double>(alpha));
  for (int k = 2; k <= alpha; ++k) {
    log_binomial += std::log(static_cast<long double>(alpha - k + 1) /
                             static_cast<long double>(k));
    const long double squares = static_cast<long double>(k) * (k - 1);
    LogTerm term;
    term += log_binomial;
    term += (alpha - k) * log_rest;
    term += k * log_q;
    term += LogExpm1(squares * scale);
    sum.Add(1, term);
  }
  return sum.LogOnePlusUpperBound();
}

long double LogMomentSeries(long double q, long double sigma,
                            long double alpha) {
  return Series(q, sigma, alpha).UpperBound();
}

}  // namespace hearsay::dp
