// Bisection between what fits and what does not. Inside dp/ only.
#pragma once

#include <cstdint>

namespace hearsay::dp {

// `high` fits and `low` does not: a value that fits, and none smaller by more
// than 1e-4 of it does, if what fits fits from somewhere on.
template <typename Fits>
double LeastThatFits(double low, double high, const Fits& fits) {
  while ((high - low) / high >= 1e-4) {
    const double middle = low + (high - low) / 2;
    (fits(middle) ? high : low) = middle;
  }
  return high;
}

// `low` fits and `high` does not: the largest that fits.
template <typename Fits>
std::uint64_t MostThatFit(std::uint64_t low, std::uint64_t high,
                          const Fits& fits) {
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace hearsay::dp
