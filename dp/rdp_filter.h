// Stop rule for steps whose rate and noise are chosen in view of what earlier
// steps released.
//
// Adding up divergences and then picking the best order is sound for a schedule
// that was fixed beforehand. Where the schedule itself depends on the outputs,
// the order has to be fixed instead: as long as the sum at one order stays
// within a budget, everything released is (order, budget)-Renyi private,
// whoever chose the parameters (Feldman and Zrnic 2021, arXiv:2008.11193).
#pragma once

#include <cstdint>

#include "dp/rdp.h"

namespace hearsay::dp {

// Threads: one at a time.
class RdpFilter {
 public:
  // Fixes the order that lets most steps like `first` pass; by nothing that
  // was released. No order lets any pass if epsilon is too small for delta.
  // Requires: 0 < delta < 1, epsilon > 0. Throws: std::invalid_argument.
  RdpFilter(const Releases& first, double delta, double epsilon);

  // Counts what has been made. Throws: std::invalid_argument.
  void Count(const Releases& releases) { spent_ = After(releases); }
  // How many of the steps of `wanted` may be made now: with one more the sum
  // would pass the budget. Throws: std::invalid_argument.
  std::uint64_t StepsThatPass(const Releases& wanted) const;

  double order() const { return order_; }
  // Epsilon of what was counted, at that order.
  double Epsilon() const;

 private:
  double After(const Releases& releases) const;

  double delta_;
  double order_ = 0;
  double budget_ = 0;  // Nats of divergence at `order_`.
  double spent_ = 0;
};

}  // namespace hearsay::dp
