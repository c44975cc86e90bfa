#include "dp/rdp.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>
#include <stdexcept>
#include <string>

#include "dp/bisect.h"
#include "dp/moment.h"

namespace hearsay::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kHighestOrder = 1 << 20;

// Relative slack for the roundings between a moment and an epsilon: each is
// below 2^-52, and there are fewer than 64 of them.
constexpr long double kSlack = 1 + 0x1p-46L;

constexpr std::size_t kOrders = 99 + 53 + 4;

std::array<double, kOrders> MakeOrders() {
  std::array<double, kOrders> orders{};
  std::size_t n = 0;
  for (int tenths = 11; tenths <= 109; ++tenths) orders[n++] = tenths / 10.0;
  for (int order = 11; order <= 63; ++order) orders[n++] = order;
  for (int order = 128; order <= 1024; order *= 2) orders[n++] = order;
  return orders;
}

[[noreturn]] void Refuse(const char* name, double value, const char* allowed) {
  std::ostringstream message;
  message << name << ' ' << value << " is not in " << allowed;
  throw std::invalid_argument(message.str());
}

void CheckMechanism(double sample_rate, double noise_multiplier) {
  if (!(sample_rate >= 0 && sample_rate <= 1))
    Refuse("sample rate", sample_rate, "[0, 1]");
  if (!(noise_multiplier >= 0 && noise_multiplier < kInfinity))
    Refuse("noise multiplier", noise_multiplier, "[0, infinity)");
}

void CheckDelta(double delta) {
  if (!(delta > 0 && delta < 1)) Refuse("delta", delta, "(0, 1)");
}

// log A is convex in the order and 0 at order 1, so a straight line between
// two orders lies above it.
long double Interpolated(long double q, long double sigma, long double alpha) {
  const int low = static_cast<int>(alpha);
  const long double share = alpha - static_cast<long double>(low);
  const long double left = low < 2 ? 0 : LogMomentInteger(q, sigma, low);
  return (1 - share) * left + share * LogMomentInteger(q, sigma, low + 1);
}

// The conversion at one order, as an upper bound; may be negative.
long double EpsilonAt(long double order, long double divergence,
                      long double log_delta) {
  const long double gain = -std::log1p(-1 / order);
  const long double price = -(log_delta + std::log(order)) / (order - 1);
  return divergence - gain + price +
         (divergence + gain + std::abs(price)) * (kSlack - 1);
}

EpsilonBound Convert(std::span<const double> divergences, double delta) {
  const auto orders = RenyiOrders();
  const long double log_delta = std::log(static_cast<long double>(delta));
  const long double squared = static_cast<long double>(delta) * delta;
  EpsilonBound best{kInfinity, 0};
  for (std::size_t i = 0; i < orders.size(); ++i) {
    if (!(divergences[i] < kInfinity)) continue;
    // The divergence is no less than Kullback and Leibler's, which bounds the
    // total variation (Bretagnolle and Huber): at most delta, so epsilon is 0.
    const long double divergence = divergences[i];
    const bool indistinguishable = squared + std::expm1(-divergence) > 0;
    const long double epsilon =
        indistinguishable
            ? 0
            : std::max(EpsilonAt(orders[i], divergence, log_delta), 0.0L);
    if (epsilon < best.epsilon)
      best = {std::nextafter(static_cast<double>(epsilon),
                             epsilon > 0 ? kInfinity : 0),
              orders[i]};
  }
  return best;
}

}  // namespace

double LogMoment(double sample_rate, double noise_multiplier, double alpha) {
  CheckMechanism(sample_rate, noise_multiplier);
  if (!(alpha > 1 && alpha <= kHighestOrder))
    Refuse("Renyi order", alpha, "(1, 2^20]");
  if (sample_rate == 0) return 0;
  if (noise_multiplier == 0) return kInfinity;
  const long double q = sample_rate;
  const long double sigma = noise_multiplier;
  const long double order = alpha;
  const long double unsampled = order * (order - 1) / (2 * sigma * sigma);
  long double moment = unsampled;
  if (sample_rate < 1 && alpha == std::floor(alpha)) {
    moment = LogMomentInteger(q, sigma, static_cast<int>(alpha));
  } else if (sample_rate < 1) {
    // Where so much noise is added that little more than rounding remains of
    // the series, one of two simpler bounds is better: the line, or that A is
    // convex in q, so no more than q times the unsampled mechanism's.
    moment = std::min(
        {LogMomentSeries(q, sigma, order), Interpolated(q, sigma, order),
         unsampled < 1 ? std::log1p(q * std::expm1(unsampled)) : unsampled});
  }
  return static_cast<double>(moment * kSlack);
}

std::span<const double> RenyiOrders() {
  static const std::array<double, kOrders> orders = MakeOrders();
  return orders;
}

double EpsilonOfDivergence(double order, double divergence, double delta) {
  CheckDelta(delta);
  const auto epsilon = static_cast<double>(
      EpsilonAt(order, divergence, std::log(static_cast<long double>(delta))));
  return epsilon > 0 ? std::nextafter(epsilon, kInfinity) : 0;
}

double DivergenceWithin(double order, double epsilon, double delta) {
  CheckDelta(delta);
  const long double log_delta = std::log(static_cast<long double>(delta));
  // EpsilonAt is linear in the divergence.
  const long double none = EpsilonAt(order, 0, log_delta);
  // Less the units by which epsilon will be rounded up.
  const long double rounded = epsilon * (1 - 0x1p-50L);
  return std::nextafter(static_cast<double>((rounded - none) / kSlack),
                        -kInfinity);
}

RdpAccountant::RdpAccountant() : total_(kOrders), cached_(kOrders) {}

std::span<const double> RdpAccountant::Divergence(
    double sample_rate, double noise_multiplier) const {
  if (sample_rate == cached_rate_ && noise_multiplier == cached_noise_)
    return cached_;
  cached_rate_ = -1;  // Until all of it is there.
  const auto orders = RenyiOrders();
  for (std::size_t i = 0; i < orders.size(); ++i)
    cached_[i] =
        LogMoment(sample_rate, noise_multiplier, orders[i]) / (orders[i] - 1);
  cached_rate_ = sample_rate;
  cached_noise_ = noise_multiplier;
  return cached_;
}

std::vector<double> RdpAccountant::Sum(const Releases& releases) const {
  CheckMechanism(releases.sample_rate, releases.noise_multiplier);
  std::vector<double> sum = total_;
  if (releases.steps == 0) return sum;
  const auto divergence =
      Divergence(releases.sample_rate, releases.noise_multiplier);
  const auto steps = static_cast<long double>(releases.steps);
  for (std::size_t i = 0; i < sum.size(); ++i) {
    if (divergence[i] == 0) continue;  // Or 0 would round up.
    // Rounded up, so that no number of additions loses anything.
    const auto exact = static_cast<long double>(sum[i]) + divergence[i] * steps;
    sum[i] = std::nextafter(static_cast<double>(exact), kInfinity);
  }
  return sum;
}

void RdpAccountant::Add(const Releases& releases) { total_ = Sum(releases); }

EpsilonBound RdpAccountant::Epsilon(double delta) const {
  CheckDelta(delta);
  const bool nothing = std::all_of(total_.begin(), total_.end(),
                                   [](double x) { return x == 0; });
  return nothing ? EpsilonBound{} : Convert(total_, delta);
}

EpsilonBound RdpAccountant::EpsilonAfter(const Releases& releases,
                                         double delta) const {
  RdpAccountant after = *this;
  after.Add(releases);
  // What was worked out for the question serves the next one.
  cached_rate_ = after.cached_rate_;
  cached_noise_ = after.cached_noise_;
  cached_ = std::move(after.cached_);
  return after.Epsilon(delta);
}

EpsilonBound RdpEpsilon(const Releases& releases, double delta) {
  CheckDelta(delta);
  RdpAccountant accountant;
  accountant.Add(releases);
  return accountant.Epsilon(delta);
}

double CalibrateNoise(double sample_rate, std::uint64_t steps, double delta,
                      double epsilon) {
  CheckMechanism(sample_rate, 1);
  CheckDelta(delta);
  if (!(epsilon > 0 && epsilon < kInfinity))
    Refuse("epsilon", epsilon, "(0, infinity)");
  if (sample_rate == 0 || steps == 0) return 0;
  const auto fits = [&](double noise) {
    return RdpEpsilon({sample_rate, noise, steps}, delta).epsilon <= epsilon;
  };
  // `high` fits, always; `low` does not.
  double high = 0.3;
  while (!fits(high)) {
    if (high == kMostNoise) {
      std::ostringstream message;
      message << "no noise multiplier up to " << kMostNoise << " keeps "
              << steps << " steps at sample rate " << sample_rate
              << " within epsilon " << epsilon << " at delta " << delta
              << ": ask for fewer steps or a larger epsilon";
      throw std::runtime_error(message.str());
    }
    high = std::min(high * 2, kMostNoise);
  }
  double low = high / 2;
  while (fits(low)) {
    high = low;
    if (high == kLeastNoise) return high;
    low = std::max(high / 2, kLeastNoise);
  }
  return LeastThatFits(low, high, fits);
}

}  // namespace hearsay::dp
