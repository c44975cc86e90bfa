#include "dp/loss_step.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <span>

#include "dp/exponential_steps.h"
#include "dp/vector_math.h"

namespace hearsay::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Below this a double has fewer digits, and the ratio of two is no guide.
constexpr double kLeastDigits = 1e-290;
constexpr std::size_t kAtOnce =
    256;  // Of points, whose values stay in a cache.

// Of an output x on the line, under the step with the record and without it:
// the loss log(1-q + q exp((2x-1) / (2 sigma^2))) rises with x.
class Step {
 public:
  Step(double sample_rate, double noise_multiplier)
      : q_(sample_rate),
        sigma_(noise_multiplier),
        log_q_(std::log(sample_rate)) {}

  double Loss(double x) const {
    const double gaussian = (2 * x - 1) / (2 * sigma_ * sigma_);
    return gaussian > 1 ? gaussian + log_q_ +
                              std::log1p((1 - q_) / q_ * std::exp(-gaussian))
                        : std::log1p(q_ * std::expm1(gaussian));
  }
  // The outputs with the losses that neighbouring grid points from `first`
  // have, given the ratios e^loss of likelihoods; minus infinity below the
  // least loss.
  void Outputs(double grid, std::int64_t first, std::span<const double> ratios,
               std::span<double> outputs) const {
    constexpr double kRestLost = 40;  // e^-40 of the ratio
    for (std::size_t i = 0; i < ratios.size(); ++i)
      outputs[i] = std::max(ratios[i] - (1 - q_), 0.0);
    TakeLogs(outputs);
    for (std::size_t i = 0; i < ratios.size(); ++i) {
      const double loss =
          static_cast<double>(first + static_cast<std::int64_t>(i)) * grid;
      const double gaussian = (loss > kRestLost ? loss : outputs[i]) - log_q_;
      outputs[i] = sigma_ * sigma_ * gaussian + 0.5;
    }
  }
  double q() const { return q_; }
  double sigma() const { return sigma_; }

 private:
  double q_;
  double sigma_;
  double log_q_;
};

// The probabilities of N(mean, sigma^2) between cuts that rise, each from the
// tails on its side of the mean, so that small ones keep their digits.
class Between {
 public:
  Between(double mean, double sigma)
      : mean_(mean), scale_(std::numbers::sqrt2 / 2 / sigma) {}
  // masses: below each cut, and above the one before it.
  void Next(std::span<const double> cuts, std::span<double> masses) {
    std::array<double, kAtOnce> tails;
    for (std::size_t i = 0; i < cuts.size(); ++i)
      tails[i] = (cuts[i] - mean_) * scale_;
    TakeHalfErfcs(std::span(tails).first(cuts.size()));
    for (std::size_t i = 0; i < cuts.size(); ++i) {
      const bool above = cuts[i] > mean_;
      masses[i] =
          above == above_ ? std::abs(tail_ - tails[i]) : 1 - tail_ - tails[i];
      tail_ = tails[i];
      above_ = above;
    }
  }
  double Rest() const { return above_ ? tail_ : 1 - tail_; }

 private:
  double mean_;
  double scale_;
  double tail_ = 0;
  bool above_ = false;
};

struct Masses {
  double with = 0;
  double without = 0;
};

// The cells between the grid points first ... first + cells.size(), and what is
// below and above them all.
struct Cells {
  std::int64_t first = 0;
  Masses below;
  std::vector<Masses> cells;
  std::vector<double> ratios;  // e^loss at the points: one more than cells.
  Masses above;
};

Cells CutAtGrid(const Step& step, double grid, std::int64_t first,
                std::int64_t last) {
  Between with(1, step.sigma());
  Between without(0, step.sigma());
  const auto masses = [&](double mixed, double plain) {
    return Masses{(1 - step.q()) * plain + step.q() * mixed, plain};
  };
  ExponentialSteps ratio(grid);
  Cells cut;
  cut.first = first;
  const auto points = static_cast<std::size_t>(last - first) + 1;
  cut.cells.resize(points);
  cut.ratios.resize(points);
  std::array<double, kAtOnce> cuts, mixed, plain;
  for (std::size_t at = 0; at < points; at += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, points - at);
    const std::int64_t point = first + static_cast<std::int64_t>(at);
    const auto ratios = std::span(cut.ratios).subspan(at, count);
    for (std::size_t i = 0; i < count; ++i)
      ratios[i] = ratio.At(point + static_cast<std::int64_t>(i));
    const auto some = std::span(cuts).first(count);
    step.Outputs(grid, point, ratios, some);
    with.Next(some, mixed);
    without.Next(some, plain);
    for (std::size_t i = 0; i < count; ++i)
      cut.cells[at + i] = masses(mixed[i], plain[i]);
  }
  cut.below = cut.cells.front();
  cut.cells.erase(cut.cells.begin());
  cut.above = masses(with.Rest(), without.Rest());
  return cut;
}

// How much of a cell's probability `here` goes to its upper end, where the loss
// is `grid` more than at the lower one; the rest stays. `lifted` is the cell's
// probability under the other data set times e^loss at the lower end, and
// `per_grid` is 1 / (1 - e^-grid).
double UpperShare(double here, double there, double lifted, double per_grid) {
  if (there < kLeastDigits || !std::isfinite(lifted)) return here;
  return std::clamp((here - lifted) * per_grid, 0.0, here);
}

LossPmf ConnectRemove(const Cells& cut, double grid) {
  LossPmf pmf{cut.first, std::vector<double>(cut.cells.size() + 1),
              cut.above.with};
  pmf.mass.front() += cut.below.with;
  const double per_grid = -1 / std::expm1(-grid);
  for (std::size_t i = 0; i < cut.cells.size(); ++i) {
    const auto& [with, without] = cut.cells[i];
    const double up =
        UpperShare(with, without, without * cut.ratios[i], per_grid);
    pmf.mass[i] += with - up;
    pmf.mass[i + 1] += up;
  }
  return pmf;
}

// Every loss changes its sign, so that the line is walked from above.
LossPmf ConnectAdd(const Cells& cut, double grid) {
  const std::size_t count = cut.cells.size();
  LossPmf pmf{-(cut.first + static_cast<std::int64_t>(count)),
              std::vector<double>(count + 1), cut.below.without};
  pmf.mass.front() += cut.above.without;
  const double per_grid = -1 / std::expm1(-grid);
  for (std::size_t i = count; i-- > 0;) {
    const auto& [with, without] = cut.cells[i];
    const double up =
        UpperShare(without, with, with / cut.ratios[i + 1], per_grid);
    pmf.mass[count - 1 - i] += without - up;
    pmf.mass[count - i] += up;
  }
  return pmf;
}

}  // namespace

std::optional<StepLoss> DiscretiseStep(double sample_rate,
                                       double noise_multiplier, double grid,
                                       double tail) {
  const Step step(sample_rate, noise_multiplier);
  // P(N(0, 1) > z) <= exp(-z^2 / 2) / 2.
  const double reach = noise_multiplier * std::sqrt(-2 * std::log(2 * tail));
  const double first = std::floor(step.Loss(-reach) / grid);
  const double last = std::ceil(step.Loss(1 + reach) / grid);
  if (!(last - first < static_cast<double>(kMostPoints)) ||
      !(std::max(-first, last) < 0x1p52))
    return std::nullopt;
  const Cells cut =
      CutAtGrid(step, grid, static_cast<std::int64_t>(first),
                static_cast<std::int64_t>(std::max(last, first + 1)));
  return StepLoss{ConnectRemove(cut, grid), ConnectAdd(cut, grid)};
}

}  // namespace hearsay::dp
