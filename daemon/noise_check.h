// Before a node trains: that its noise is of the size which epsilon counts on.
//
// The sum of no rows is noise alone. It is drawn through the very path that
// will train, on the host or on a device, under keys that are then forgotten;
// no record is touched and nothing is released. A fault that weakens all noise
// (a driver, a vector unit, a build) would otherwise show nowhere.
#pragma once

#include <cstddef>

#include "daemon/private_sum.h"

namespace hearsay::daemon {

// Of 400,000 values (fewer only below 400 weights), the sum of squares is
// within 5.5 deviations of chi-squared's mean, and so is their mean of 0. Finds
// noise that is 1 % too small nearly always; a sound node fails once in 10^7
// starts. Requires: weights >= 1, noise_stddev > 0 and finite. Throws:
// std::runtime_error that says what was found; as `sum`.
void CheckNoise(PrivateSum& sum, std::size_t weights,
                const PrivateSumTerms& terms);

}  // namespace hearsay::daemon
