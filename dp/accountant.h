// The accountants, by name: what releases cost, and the noise that a budget
// needs.
#pragma once

#include <cstdint>
#include <span>

#include "dp/rdp.h"

namespace hearsay::dp {

enum class Accountant {
  kRdp,  // dp/rdp.h: any delta, a few milliseconds.
  // dp/pld.h, or the Renyi bound where that is less (steps that lose much less
  // than a point of the grid): tighter, some 30 ms, delta from 1e-9.
  kPld,
};

// "rdp" or "pld".
const char* Word(Accountant accountant);

// Of all phases together, an upper bound.
// Throws: std::invalid_argument, as RdpAccountant and PldEpsilon.
double EpsilonOf(Accountant accountant, std::span<const Releases> phases,
                 double delta);

// The smallest noise multiplier (within 1e-4 relative, rounded up) for which
// EpsilonOf says no more than `epsilon`: it never overshoots.
// Requires, throws: as CalibrateNoise of dp/rdp.h.
double CalibrateNoise(Accountant accountant, double sample_rate,
                      std::uint64_t steps, double delta, double epsilon);

// The same for steps that come after `spent`.
// Throws: std::runtime_error if no noise does, as where `spent` is too much.
double CalibrateNoiseAfter(Accountant accountant,
                           std::span<const Releases> spent, double sample_rate,
                           std::uint64_t steps, double delta, double epsilon);

// How many of the steps of `more` fit after `spent` within `epsilon`: with one
// more they would not. One evaluation where all fit, else some twenty.
// Throws: as EpsilonOf.
std::uint64_t StepsWithin(Accountant accountant,
                          std::span<const Releases> spent, const Releases& more,
                          double delta, double epsilon);

}  // namespace hearsay::dp
