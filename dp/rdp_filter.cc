#include "dp/rdp_filter.h"

#include <cmath>
#include <limits>
#include <stdexcept>

#include "dp/bisect.h"

namespace hearsay::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double Divergence(const Releases& releases, double order) {
  return LogMoment(releases.sample_rate, releases.noise_multiplier, order) /
         (order - 1);
}

}  // namespace

RdpFilter::RdpFilter(const Releases& first, double delta, double epsilon)
    : delta_(delta) {
  if (!(epsilon > 0))
    throw std::invalid_argument("a filter's epsilon is above 0");
  double most = -1;
  for (const double order : RenyiOrders()) {
    const double budget = DivergenceWithin(order, epsilon, delta);
    const double one = Divergence(first, order);
    const double steps = budget < 0 ? 0 : one > 0 ? budget / one : kInfinity;
    if (steps > most) {
      most = steps;
      order_ = order;
      budget_ = budget;
    }
  }
}

double RdpFilter::After(const Releases& releases) const {
  const double one = Divergence(releases, order_);
  if (one == 0 || releases.steps == 0) return spent_;
  // Rounded up, so that no number of additions loses anything.
  const auto exact =
      static_cast<long double>(spent_) +
      static_cast<long double>(one) * static_cast<long double>(releases.steps);
  return std::nextafter(static_cast<double>(exact), kInfinity);
}

std::uint64_t RdpFilter::StepsThatPass(const Releases& wanted) const {
  const auto passes = [&](std::uint64_t steps) {
    const double after =
        After({wanted.sample_rate, wanted.noise_multiplier, steps});
    return after == spent_ || after <= budget_;
  };
  if (passes(wanted.steps)) return wanted.steps;
  return MostThatFit(0, wanted.steps, passes);
}

double RdpFilter::Epsilon() const {
  return spent_ == 0 ? 0 : EpsilonOfDivergence(order_, spent_, delta_);
}

}  // namespace hearsay::dp
