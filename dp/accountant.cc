#include "dp/accountant.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "dp/bisect.h"
#include "dp/pld.h"

namespace hearsay::dp {

const char* Word(Accountant accountant) {
  return accountant == Accountant::kPld ? "pld" : "rdp";
}

double EpsilonOf(Accountant accountant, std::span<const Releases> phases,
                 double delta) {
  RdpAccountant renyi;
  for (const Releases& phase : phases) renyi.Add(phase);
  const double epsilon = renyi.Epsilon(delta).epsilon;
  if (accountant == Accountant::kRdp) return epsilon;
  return std::min(epsilon, PldEpsilon(phases, delta));
}

double CalibrateNoise(Accountant accountant, double sample_rate,
                      std::uint64_t steps, double delta, double epsilon) {
  // What keeps the Renyi bound within epsilon keeps the lesser of two.
  double high = CalibrateNoise(sample_rate, steps, delta, epsilon);
  if (accountant == Accountant::kRdp) return high;
  const auto fits = [&](double noise) {
    const Releases releases{sample_rate, noise, steps};
    return EpsilonOf(accountant, {&releases, 1}, delta) <= epsilon;
  };
  if (!fits(high)) return high;  // It does, or throws what it refuses.
  double low = high;
  do {
    high = low;
    if (high <= kLeastNoise) return high;
    low = std::max(0.9 * high, kLeastNoise);
  } while (fits(low));
  return LeastThatFits(low, high, fits);
}

double CalibrateNoiseAfter(Accountant accountant,
                           std::span<const Releases> spent, double sample_rate,
                           std::uint64_t steps, double delta, double epsilon) {
  double high = CalibrateNoise(accountant, sample_rate, steps, delta, epsilon);
  if (spent.empty()) return high;
  std::vector<Releases> phases(spent.begin(), spent.end());
  phases.push_back({sample_rate, high, steps});
  const auto fits = [&](double noise) {
    phases.back().noise_multiplier = noise;
    return EpsilonOf(accountant, phases, delta) <= epsilon;
  };
  if (fits(high)) return high;
  double low = high;
  do {
    low = high;
    high *= 2;
    if (high > kMostNoise)
      throw std::runtime_error(
          "what was spent before leaves nothing of epsilon " +
          std::to_string(epsilon) + " for training; raise the target");
  } while (!fits(high));
  return LeastThatFits(low, high, fits);
}

std::uint64_t StepsWithin(Accountant accountant,
                          std::span<const Releases> spent, const Releases& more,
                          double delta, double epsilon) {
  std::vector<Releases> phases(spent.begin(), spent.end());
  phases.push_back(more);
  const auto fits = [&](std::uint64_t steps) {
    phases.back().steps = steps;
    return EpsilonOf(accountant, phases, delta) <= epsilon;
  };
  if (fits(more.steps)) return more.steps;
  std::uint64_t low = 0;  // Nothing more is always allowed.
  std::uint64_t high = more.steps;
  if (accountant == Accountant::kPld) {
    // Not far beyond what the cheaper bound allows.
    low = StepsWithin(Accountant::kRdp, spent, more, delta, epsilon);
    for (std::uint64_t jump = low / 8 + 1; jump < more.steps - low; jump *= 2) {
      if (!fits(low + jump)) {
        high = low + jump;
        break;
      }
      low += jump;
    }
  }
  return MostThatFit(low, high, fits);
}

}  // namespace hearsay::dp
