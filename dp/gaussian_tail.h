// Tails of the normal distribution, far out and without cancellation. Inside
// dp/ only.
#pragma once

namespace hearsay::dp {

// log of erfc(x) / 2 = log P(N(0, 1) > sqrt(2) x), to a few units of the last
// place, for any x.
long double LogHalfErfc(long double x);

// log P(N(0, 1) > z).
long double LogUpperTail(long double z);

}  // namespace hearsay::dp
