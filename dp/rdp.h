// Renyi accountant of the Poisson-subsampled Gaussian mechanism.
//
// Adjacency: add or remove one record (sensitivity = clip norm). All results
// are upper bounds: they may overstate the privacy loss, never understate it.
// Sources: Mironov, Talwar, Zhang 2019 (arXiv:1908.10530) 3.3 for the
// divergence, with signed binomials at fractional orders; Canonne, Kamath,
// Steinke 2020 (arXiv:2004.00010) Proposition 12 for the conversion.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace hearsay::dp {

// `steps` releases of the same mechanism.
struct Releases {
  double sample_rate = 0;       // q, [0, 1]
  double noise_multiplier = 0;  // sigma: noise stddev / clip norm; 0 = no noise
  std::uint64_t steps = 0;
};

struct EpsilonBound {
  double epsilon = 0;  // +infinity when nothing is promised
  double order = 0;    // The Renyi order that gave it; 0 if none was needed.
};

// log A_alpha of one release; RDP(alpha) = LogMoment / (alpha - 1). Errs
// upwards, by less than 1e-12 relative at integer orders, and by less than
// 1e-10 relative and 1e-17 at others.
// Requires: 0 <= q <= 1, 0 <= sigma < infinity, 1 < alpha <= 2^20.
// Throws: std::invalid_argument.
double LogMoment(double sample_rate, double noise_multiplier, double alpha);

// {1.1, 1.2 ... 10.9} U {11 ... 63} U {128, 256, 512, 1024}
std::span<const double> RenyiOrders();

// The conversion at one order: epsilon of a divergence, rounded up and no less
// than 0; and the most divergence that keeps epsilon, rounded down, negative if
// none does. Requires: an order of RenyiOrders, 0 < delta < 1.
// Throws: std::invalid_argument (delta).
double EpsilonOfDivergence(double order, double divergence, double delta);
double DivergenceWithin(double order, double epsilon, double delta);

// Composes releases of any parameters, in any order.
// Threads: one at a time. The divergence of a repeated (q, sigma) is cached.
class RdpAccountant {
 public:
  RdpAccountant();
  // Throws: std::invalid_argument (q or sigma out of range, NaN).
  void Add(const Releases& releases);
  // Epsilon so far at `delta`; 0 before any release.
  // Requires: 0 < delta < 1. Throws: std::invalid_argument.
  EpsilonBound Epsilon(double delta) const;
  // What Epsilon would say after Add(releases), without adding.
  // Throws: as Add and Epsilon.
  EpsilonBound EpsilonAfter(const Releases& releases, double delta) const;

 private:
  std::span<const double> Divergence(double sample_rate,
                                     double noise_multiplier) const;
  std::vector<double> Sum(const Releases& releases) const;
  std::vector<double> total_;  // Nats, one an order.
  mutable double cached_rate_ = -1;
  mutable double cached_noise_ = -1;
  mutable std::vector<double> cached_;
};

// Throws: std::invalid_argument.
EpsilonBound RdpEpsilon(const Releases& releases, double delta);

// No calibrated noise multiplier is outside this range, but for 0, which is
// enough when nothing is released (q or steps 0).
inline constexpr double kLeastNoise = 1e-6;
inline constexpr double kMostNoise = 1e6;

// The smallest noise multiplier (within 1e-4 relative, rounded up) for which
// RdpEpsilon(q, sigma, steps, delta) <= epsilon. Never overshoots epsilon.
// Requires: 0 <= q <= 1, 0 < delta < 1, 0 < epsilon < infinity.
// Throws: std::invalid_argument; std::runtime_error if no sigma below 1e6 does.
double CalibrateNoise(double sample_rate, std::uint64_t steps, double delta,
                      double epsilon);

}  // namespace hearsay::dp
