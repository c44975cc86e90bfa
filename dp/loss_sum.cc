#include "dp/loss_sum.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <limits>
#include <vector>

#include "dp/exponential_steps.h"
#include "dp/fourier.h"
#include "dp/tilt.h"

namespace hearsay::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;

// Terms whose power is less than e^-80 are 0, give or take this.
constexpr double kNegligibleLog = -80;
constexpr double kNegligible = 1e-34;
// Where this much of a term may be rounding, nothing is worth saying.
constexpr double kMostDoubt = 0.01;

// The product of powers of transforms, and how wrong each term may be.
class Product {
 public:
  explicit Product(std::size_t terms) : value_(terms, 1.0), error_(terms) {}

  // Multiplies by `base` to the power of `steps`. No term of `base` is wrong by
  // more than `doubt`, nor larger than 1.
  void MultiplyPower(std::span<const std::complex<double>> base, double doubt,
                     std::uint64_t steps) {
    for (std::size_t i = 0; i < base.size(); i += kBlock)
      MultiplyBlock(base, doubt, steps, i, std::min(kBlock, base.size() - i));
  }

  std::span<std::complex<double>> value() { return value_; }
  // Root of the sum of squares over the whole spectrum: of the errors, and of
  // the terms.
  double ErrorNorm() const {
    double sum = 0;
    for (const double error : error_) sum += error * error;
    return std::sqrt(2 * sum);
  }
  double Norm() const {
    double sum = 0;
    for (const auto& term : value_) sum += std::norm(term);
    return std::sqrt(2 * sum);
  }

 private:
  static constexpr std::size_t kBlock = 64;

  void MultiplyBlock(std::span<const std::complex<double>> base, double doubt,
                     std::uint64_t steps, std::size_t first,
                     std::size_t count) {
    std::array<double, kBlock> real{};
    std::array<double, kBlock> imaginary{};
    std::array<double, kBlock> size{};
    double largest = 0;
    for (std::size_t i = 0; i < count; ++i) {
      real[i] = base[first + i].real();
      imaginary[i] = base[first + i].imag();
      size[i] =
          std::sqrt(real[i] * real[i] + imaginary[i] * imaginary[i]) + doubt;
      largest = std::max(largest, size[i]);
    }
    const double times = static_cast<double>(steps);
    if ((times - 1) * std::log(largest) + std::log(times) < kNegligibleLog) {
      for (std::size_t i = first; i < first + count; ++i) {
        error_[i] = kNegligible;
        value_[i] = 0;
      }
      return;
    }
    // Square and multiply, all of the block at once. `power` becomes base^steps
    // and `power_size` size^steps.
    std::array<double, kBlock> power_real;
    std::array<double, kBlock> power_imaginary{};
    std::array<double, kBlock> power_size;
    power_real.fill(1);
    power_size.fill(1);
    for (std::uint64_t left = steps; left > 0; left /= 2) {
      if (left % 2 == 1)
        for (std::size_t i = 0; i < kBlock; ++i) {
          const double r =
              power_real[i] * real[i] - power_imaginary[i] * imaginary[i];
          power_imaginary[i] =
              power_real[i] * imaginary[i] + power_imaginary[i] * real[i];
          power_real[i] = r;
          power_size[i] *= size[i];
        }
      for (std::size_t i = 0; i < kBlock; ++i) {
        const double r = real[i] * real[i] - imaginary[i] * imaginary[i];
        imaginary[i] = 2 * real[i] * imaginary[i];
        real[i] = r;
        size[i] *= size[i];
      }
    }
    // d(f^n) = n f^(n-1) df; each of n - 1 multiplications of complex numbers
    // adds less than 3 units, as does the one by the product so far.
    for (std::size_t i = 0; i < count; ++i) {
      const std::complex<double> power(power_real[i], power_imaginary[i]);
      const double first_size = std::sqrt(std::norm(base[first + i])) + doubt;
      const double wrong =
          times * power_size[i] * (doubt / first_size + 3 * kUnit);
      auto& value = value_[first + i];
      auto& error = error_[first + i];
      const double value_size = std::sqrt(std::norm(value));
      error = error * power_size[i] +
              value_size * (wrong + 3 * kUnit * power_size[i]) + error * wrong;
      value *= power;
    }
  }

  std::vector<std::complex<double>> value_;
  std::vector<double> error_;
};

// The tilted distribution of all steps together, in a window of the grid.
struct TiltedSum {
  std::vector<double> mass;  // By grid point modulo its length.
  double log_moment = 0;     // Of all steps.
  // The sum of |wrong| over the window is no more than this.
  double error = 0;
};

std::size_t Place(std::int64_t point, std::size_t length) {
  const auto wrapped = point % static_cast<std::int64_t>(length);
  return static_cast<std::size_t>(
      wrapped < 0 ? wrapped + static_cast<std::int64_t>(length) : wrapped);
}

// Nothing if rounding errors are too large to say anything.
std::optional<TiltedSum> Compose(std::span<const LossPhase> phases,
                                 double theta, double grid,
                                 std::size_t length) {
  Fourier fourier(length);
  Product product(length / 2 + 1);
  std::vector<std::complex<double>> terms(length / 2 + 1);
  TiltedSum sum;
  for (const LossPhase& phase : phases) {
    const Tilted tilted = TiltBy(theta, grid, *phase.step);
    const double doubt = fourier.relative_error() + tilted.doubt;
    if (static_cast<double>(phase.steps) * doubt > kMostDoubt)
      return std::nullopt;
    sum.log_moment += static_cast<double>(phase.steps) * tilted.log_moment;
    sum.mass.assign(length, 0.0);
    std::size_t place = Place(phase.step->first, length);
    for (const double mass : tilted.mass) {
      sum.mass[place] += mass;
      if (++place == length) place = 0;
    }
    fourier.Forward(sum.mass, terms);
    product.MultiplyPower(terms, doubt, phase.steps);
  }
  // A sum of `length` sizes is at most sqrt(length) times the root of the sum
  // of their squares, and that is 1 / sqrt(length) of the spectrum's.
  sum.error = product.ErrorNorm() + fourier.relative_error() * product.Norm();
  fourier.Inverse(product.value(), sum.mass);
  return sum;
}

double LogAllFinite(std::span<const LossPhase> phases) {
  double log_finite = 0;
  for (const LossPhase& phase : phases)
    log_finite +=
        static_cast<double>(phase.steps) * std::log1p(-phase.step->infinite);
  return log_finite;
}

// Walks down from the window's top until delta is passed.
double WalkDown(const TiltedSum& sum, const Aim& aim, double grid,
                double delta) {
  const auto loss = [&](std::int64_t point) {
    return static_cast<double>(point) * grid;
  };
  ExponentialSteps back(-aim.theta * grid, sum.log_moment);
  const double down = std::exp(-grid);
  // Of what is above the point: the probability, and that under the other data
  // set times e^loss at the point.
  double here = 0;
  double there = 0;
  std::int64_t point = aim.first + static_cast<std::int64_t>(aim.points) - 1;
  std::size_t place = Place(point, sum.mass.size());
  for (; point >= std::max<std::int64_t>(aim.first, 0); --point) {
    const double untilt = back.At(point);
    const double rounding = sum.error * untilt;
    if (!(here - there + rounding <= delta)) {
      if (!(there > 0)) return kInfinity;  // Even above all of it.
      const double epsilon =
          loss(point) + std::log((here + rounding - delta) / there);
      return std::clamp(epsilon, loss(point), loss(point + 1));
    }
    const double mass = std::max(sum.mass[place], 0.0) * untilt;
    here += mass;
    there = (there + mass) * down;
    place = place == 0 ? sum.mass.size() - 1 : place - 1;
  }
  return std::max(loss(point + 1), 0.0);
}

}  // namespace

std::optional<double> EpsilonOfSum(std::span<const LossPhase> phases,
                                   double grid, double delta) {
  const auto aim = TakeAim(phases, grid, delta);
  if (!aim) return std::nullopt;
  // A walk of 2^18 products and sums is off by less than 1e-9.
  const double infinite = -std::expm1(LogAllFinite(phases));
  const double left = delta * (1 - 1e-9) - infinite - aim->mass_above;
  if (!(left > 0)) return kInfinity;
  const auto sum = Compose(phases, aim->theta, grid, aim->points);
  if (!sum) return kInfinity;
  return WalkDown(*sum, *aim, grid, left);
}

}  // namespace hearsay::dp
