#include "dp/tilt.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "dp/exponential_steps.h"
#include "dp/fourier.h"

namespace hearsay::dp {
namespace {

constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;
// Of delta, by estimate: what the sum outside its window may come to, which is
// counted although it belongs elsewhere; and rounding, where there is a choice.
constexpr double kLogAliased = -14;
constexpr double kLogPrecise = -12;
// About what the transform's bound comes to, a step.
constexpr double kRoundingOfStep = 1e-13;
// Of the theta with the best bound. That moves the middle of the tilted sum to
// epsilon or beyond, but makes its tail heavier and the window longer.
constexpr double kTiltShares[] = {0.7, 0.5, 0.3, 0.1};

// The logarithm of the moment generating function of the sum, and its
// derivatives, from distributions thinned out far from 0: close enough to
// choose by, and cheap.
class Cumulant {
 public:
  struct Value {
    double value = 0;
    double mean = 0;
    double variance = 0;
  };

  Cumulant(std::span<const LossPhase> phases, double grid) {
    for (const LossPhase& phase : phases) {
      steps_.push_back(static_cast<double>(phase.steps));
      nodes_.push_back(Thin(*phase.step, grid));
      const auto& [first, mass, infinite] = *phase.step;
      const double last =
          static_cast<double>(first) + static_cast<double>(mass.size()) - 1;
      least_ += steps_.back() * static_cast<double>(first) * grid;
      most_ += steps_.back() * last * grid;
      most_of_one_ = std::max(most_of_one_, last * grid);
    }
  }

  Value At(double theta) const {
    Value total;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const Value one = At(theta, nodes_[i]);
      total.value += steps_[i] * one.value;
      total.mean += steps_[i] * one.mean;
      total.variance += steps_[i] * one.variance;
    }
    return total;
  }

  double steps() const {
    return std::accumulate(steps_.begin(), steps_.end(), 0.0);
  }
  // The least and the most that all losses together may be; and one step's.
  double least() const { return least_; }
  double most() const { return most_; }
  double most_of_one() const { return most_of_one_; }

 private:
  struct Node {
    double loss = 0;
    double log_mass = 0;
  };
  using Nodes = std::vector<Node>;

  static Nodes Thin(const LossPmf& step, double grid) {
    constexpr std::int64_t kFine = 256;
    Nodes nodes;
    const auto count = static_cast<std::int64_t>(step.mass.size());
    for (std::int64_t i = 0; i < count;) {
      const std::int64_t far = std::abs(step.first + i);
      const std::int64_t width = far < kFine ? 1 : far / (kFine / 4);
      double mass = 0;
      double moment = 0;
      for (const std::int64_t end = std::min(i + width, count); i < end; ++i) {
        const double one = step.mass[static_cast<std::size_t>(i)];
        mass += one;
        moment += one * static_cast<double>(step.first + i) * grid;
      }
      if (mass > 0) nodes.push_back({moment / mass, std::log(mass)});
    }
    return nodes;
  }

  static Value At(double theta, const Nodes& nodes) {
    double largest = -std::numeric_limits<double>::infinity();
    for (const Node& node : nodes)
      largest = std::max(largest, node.log_mass + theta * node.loss);
    double sum = 0;
    double first = 0;
    double second = 0;
    for (const Node& node : nodes) {
      const double mass = std::exp(node.log_mass + theta * node.loss - largest);
      sum += mass;
      first += mass * node.loss;
      second += mass * node.loss * node.loss;
    }
    const double mean = first / sum;
    return {largest + std::log(sum), mean,
            std::max(second / sum - mean * mean, 0.0)};
  }

  std::vector<double> steps_;
  std::vector<Nodes> nodes_;
  double least_ = 0;
  double most_ = 0;
  double most_of_one_ = 0;
};

// Where, within 5 %, a function that falls and then rises is least.
template <typename Function>
double Least(const Function& function, double from, double to) {
  constexpr double kGolden = 0.6180339887498949;
  double low = std::log(from);
  double high = std::log(to);
  const auto at = [&](double log_x) { return function(std::exp(log_x)); };
  double left = high - kGolden * (high - low);
  double right = low + kGolden * (high - low);
  double at_left = at(left);
  double at_right = at(right);
  while (high - low > 0.05) {
    if (at_left < at_right) {
      high = std::exchange(right, left);
      at_right = at_left;
      left = high - kGolden * (high - low);
      at_left = at(left);
    } else {
      low = std::exchange(left, right);
      at_left = at_right;
      right = low + kGolden * (high - low);
      at_right = at(right);
    }
  }
  return std::exp((low + high) / 2);
}

// The least loss that Chernoff's bound puts all but e^log_outside of the tilted
// sum below; or, where `unit` is negative, the largest that it puts it above.
struct Edge {
  double loss = 0;
  double change = 0;  // Of theta, that says so.
};

Edge EdgeOf(const Cumulant& cumulant, double theta, double log_outside,
            double unit) {
  const double here = cumulant.At(theta).value;
  const auto edge = [&](double change) {
    return (cumulant.At(theta + change).value - here - log_outside) / change;
  };
  const double sign = std::copysign(1.0, unit);
  const double size = Least([&](double one) { return sign * edge(sign * one); },
                            1e-4 * sign * unit, 40 * sign * unit);
  return {edge(sign * size), sign * size};
}

struct Guess {
  double theta = 0;
  double epsilon = 0;
};

// The theta with the best Chernoff bound on epsilon: the conversion of dp/rdp.h
// at the order theta + 1, by golden section.
Guess ChernoffGuess(const Cumulant& cumulant, double grid, double delta) {
  const auto epsilon = [&](double theta) {
    return (cumulant.At(theta).value + theta * std::log(theta) -
            (theta + 1) * std::log1p(theta) - std::log(delta)) /
           theta;
  };
  // Beyond this a thinned distribution is too coarse to go by.
  const double most = 100 / std::max(cumulant.most_of_one(), 100 * grid);
  const double theta = Least(epsilon, most * 1e-8, most);
  return {theta, epsilon(theta) - 1 / theta};  // The bound overstates it.
}

// The tilt by `theta` and its window, and what it costs.
struct Choice {
  double theta = 0;
  Edge below;
  Edge above;
  double Width() const { return above.loss - below.loss; }
  bool precise = false;  // Rounding will hardly be seen in epsilon.
};

Choice Consider(const Cumulant& cumulant, double grid, double delta,
                double epsilon, double theta) {
  const auto here = cumulant.At(theta);
  // Tilting back multiplies what is wrong about the tilted sum by this over
  // delta, at epsilon.
  const double log_back = here.value - theta * epsilon - std::log(delta);
  const double unit = 1 / std::max(std::sqrt(here.variance), 25 * grid);
  const double log_outside = std::min(kLogAliased - log_back, -1.0);
  return {
      theta, EdgeOf(cumulant, theta, log_outside, -unit),
      EdgeOf(cumulant, theta, log_outside, unit),
      std::log(cumulant.steps() * kRoundingOfStep) + log_back < kLogPrecise};
}

}  // namespace

Tilted TiltBy(double theta, double grid, const LossPmf& step) {
  const double rate = theta * grid;
  const auto count = step.mass.size();
  const auto at = [&](std::size_t i) {
    return static_cast<double>(step.first) + static_cast<double>(i);
  };
  // Relative to no less than the largest, nor much more, so that all is within
  // the range of a double.
  double largest = -std::numeric_limits<double>::infinity();
  const auto stride =
      static_cast<std::size_t>(std::clamp(32 / std::abs(rate), 1.0, 64.0));
  for (std::size_t i = 0; i < count; i += stride) {
    const std::size_t end = std::min(i + stride, count);
    const double mass =
        *std::max_element(step.mass.begin() + static_cast<std::ptrdiff_t>(i),
                          step.mass.begin() + static_cast<std::ptrdiff_t>(end));
    if (mass > 0)
      largest = std::max(
          largest, std::log(mass) + std::max(rate * at(i), rate * at(end - 1)));
  }
  Tilted tilted;
  tilted.mass.resize(count);
  ExponentialSteps factor(rate, -largest);
  double sum = 0;
  double exponents = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (step.mass[i] == 0) continue;
    const double mass =
        step.mass[i] * factor.At(step.first + static_cast<std::int64_t>(i));
    tilted.mass[i] = mass;
    sum += mass;
    exponents += mass * std::abs(rate * at(i));
  }
  for (double& mass : tilted.mass) mass /= sum;
  tilted.log_moment = largest + std::log(sum);
  // An exponential turns the rounding of its argument into a relative error.
  tilted.doubt = kUnit * (8 + 2 * exponents / sum + std::abs(largest));
  return tilted;
}

std::optional<Aim> TakeAim(std::span<const LossPhase> phases, double grid,
                           double delta) {
  const Cumulant cumulant(phases, grid);
  const Guess guess = ChernoffGuess(cumulant, grid, delta);
  std::optional<Choice> best;
  for (const double share : kTiltShares) {
    const Choice choice =
        Consider(cumulant, grid, delta, guess.epsilon, share * guess.theta);
    if (!best || (choice.precise && choice.Width() < best->Width()))
      best = choice;
  }
  const double first =
      std::floor(std::max(best->below.loss, cumulant.least()) / grid);
  const double last =
      std::ceil(std::min(best->above.loss, cumulant.most()) / grid);
  const double count = last - first + 1;
  if (!(count <= static_cast<double>(kMostPoints)) ||
      !(std::abs(first) < 0x1p52))
    return std::nullopt;
  Aim aim{best->theta, static_cast<std::int64_t>(first),
          QuickLength(static_cast<std::size_t>(count)), 0};
  const double top = (first + static_cast<double>(aim.points)) * grid;
  if (top > cumulant.most()) return aim;
  // Chernoff's bound again, of the whole distributions.
  const double other = best->theta + best->above.change;
  double log_moment = 0;
  for (const LossPhase& phase : phases)
    log_moment += static_cast<double>(phase.steps) *
                  TiltBy(other, grid, *phase.step).log_moment;
  aim.mass_above = std::exp(log_moment - other * top);
  return aim;
}

}  // namespace hearsay::dp
