// What a collective should take, and so which algorithm to use: the alpha-beta
// model with a price on messages.
//
// Pure. An estimate for choosing and for tables, not a promise.
// Source: Hockney, "The communication challenge for MPP", 1994 (alpha, beta);
// Thakur, Rabenseifner, Gropp 2005, section 3 (gamma); Culler et al., "LogP",
// 1993 (overhead).
#pragma once

#include <cstddef>

#include "transport/collective/schedule.h"

namespace hearsay::transport::collective {

// Seconds.
struct Link {
  double latency = 20e-6;      // alpha: of a message that others wait for
  double overhead = 5e-6;      // o: a message, at its sender
  double per_byte = 0.4e-9;    // beta: on the wire, copied in and out
  double per_summed = 0.1e-9;  // gamma: a byte that is added
};

// Of one member: the busiest.
// Requires: n >= 1.
double PredictSeconds(Algorithm algorithm, Rank n, std::size_t bytes,
                      const Link& link);

Algorithm ChooseAllReduce(Rank n, std::size_t bytes, const Link& link);
Algorithm ChooseBroadcast(Rank n, std::size_t bytes, const Link& link);

// A multiple of 64, at most `largest`: small enough that steps overlap, large
// enough that messages do not cost more than the bytes in them.
std::size_t ChoosePieceBytes(std::size_t bytes, std::size_t largest);

}  // namespace hearsay::transport::collective
