#include "dp/pld.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

#include "dp/loss_sum.h"

namespace hearsay::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// With more steps the transform's rounding alone makes the bound worthless.
constexpr double kMostSteps = 1e11;
// Of delta, what the ends of all steps' distributions may use up unresolved.
constexpr double kTailShare = 0x1p-24;

void Check(std::span<const Releases> phases, double delta, double grid) {
  if (!(delta > 0 && delta < 1)) {
    std::ostringstream message;
    message << "delta " << delta << " is not in (0, 1)";
    throw std::invalid_argument(message.str());
  }
  if (delta < kLeastPldDelta) {
    std::ostringstream message;
    message << "delta " << delta << " is below " << kLeastPldDelta
            << ", where the rounding of a distribution of losses would count: "
               "use the rdp accountant, which has no such limit";
    throw std::invalid_argument(message.str());
  }
  if (!(grid > 0 && grid < kInfinity))
    throw std::invalid_argument("a grid of losses is in (0, infinity)");
  for (const Releases& phase : phases) {
    if (!(phase.sample_rate >= 0 && phase.sample_rate <= 1))
      throw std::invalid_argument("a sample rate is in [0, 1]");
    if (!(phase.noise_multiplier >= 0 && phase.noise_multiplier < kInfinity))
      throw std::invalid_argument("a noise multiplier is in [0, infinity)");
  }
}

// What there is to compose: each (rate, noise) once, and all unsampled steps as
// one Gaussian, which is exact.
struct Mechanisms {
  std::map<std::pair<double, double>, std::uint64_t> sampled;
  long double inverse_variance = 0;
  double steps = 1;     // Of those, and one for the Gaussian.
  bool silent = false;  // Without noise: everything is given away.
};

Mechanisms Merge(std::span<const Releases> phases) {
  Mechanisms merged;
  for (const auto& [rate, noise, steps] : phases) {
    if (rate == 0 || steps == 0) continue;
    if (noise == 0) {
      merged.silent = true;
    } else if (rate == 1) {
      merged.inverse_variance += static_cast<long double>(steps) /
                                 (static_cast<long double>(noise) * noise);
    } else {
      merged.sampled[{rate, noise}] += steps;
      merged.steps += static_cast<double>(steps);
    }
  }
  return merged;
}

struct Phase {
  StepLoss loss;
  std::uint64_t steps;
};

// Nothing if the grid is too fine for this.
std::optional<std::vector<Phase>> Discretise(const Mechanisms& mechanisms,
                                             double grid, double tail) {
  std::vector<Phase> phases;
  for (const auto& [mechanism, steps] : mechanisms.sampled) {
    auto loss = DiscretiseStep(mechanism.first, mechanism.second, grid, tail);
    if (!loss) return std::nullopt;
    phases.push_back({*std::move(loss), steps});
  }
  if (mechanisms.inverse_variance > 0) {
    const auto noise = 1 / std::sqrt(mechanisms.inverse_variance);
    auto loss = DiscretiseStep(1, static_cast<double>(noise), grid, tail);
    if (!loss) return std::nullopt;
    phases.push_back({*std::move(loss), 1});
  }
  return phases;
}

std::optional<double> EpsilonOnGrid(const Mechanisms& mechanisms, double delta,
                                    double grid) {
  const double steps = mechanisms.steps;
  const auto phases =
      Discretise(mechanisms, grid, delta * kTailShare / (2 * steps));
  if (!phases) return std::nullopt;
  const auto epsilon_of = [&](LossPmf StepLoss::*direction) {
    std::vector<LossPhase> sum;
    for (const Phase& phase : *phases)
      sum.push_back({&(phase.loss.*direction), phase.steps});
    return EpsilonOfSum(sum, grid, delta);
  };
  // Side by side, where there is a thread to be had.
  auto of_add = std::async(std::launch::async | std::launch::deferred,
                           epsilon_of, &StepLoss::add);
  const auto remove = epsilon_of(&StepLoss::remove);
  const auto add = of_add.get();
  if (!remove || !add) return std::nullopt;
  const double epsilon = std::max({0.0, *remove, *add});
  // A step's cell masses, and where its grid points are, are rounded: that
  // moves its loss by less than 1e-8 of a grid point on average.
  return epsilon > 0 ? epsilon * (1 + 1e-12) + steps * grid * 1e-8 : 0;
}

}  // namespace

double PldEpsilon(std::span<const Releases> phases, double delta, double grid) {
  Check(phases, delta, grid);
  const Mechanisms mechanisms = Merge(phases);
  if (mechanisms.silent || mechanisms.steps > kMostSteps) return kInfinity;
  if (mechanisms.sampled.empty())
    return GaussianEpsilon(std::sqrt(mechanisms.inverse_variance), delta);
  for (; grid < 1e300; grid *= 2)
    if (const auto epsilon = EpsilonOnGrid(mechanisms, delta, grid))
      return *epsilon;
  return kInfinity;
}

}  // namespace hearsay::dp
