// The two ways to log A_alpha. Inside dp/ only; LogMoment chooses.
//
// Both compute A - 1, not A: where privacy is good A is 1 + 1e-10 and less, and
// a sum that contains the 1 has lost the rest. Both work with logarithms of
// terms, because where privacy is bad A is beyond any floating-point number.
#pragma once

namespace hearsay::dp {

// Requires: 0 < q < 1, 0 < sigma < infinity.
// Integer alpha >= 2: the binomial expansion.
long double LogMomentInteger(long double q, long double sigma, int alpha);
// Any alpha > 1: the signed series. What was left out and what rounding may
// have done is added, so the result is never below log A.
long double LogMomentSeries(long double q, long double sigma,
                            long double alpha);

}  // namespace hearsay::dp
