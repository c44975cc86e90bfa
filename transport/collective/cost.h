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

// Seconds. As measured over sockets within a host, with half a core to two for
// a member; a network has more latency.
struct Link {
  double latency = 10e-6;       // alpha: of a message that others wait for
  double overhead = 12e-6;      // o: of a message, its sender's and receiver's
  double per_byte = 0.6e-9;     // beta: on the wire, copied in and out
  double per_summed = 0.05e-9;  // gamma: a byte that is added
};

// Of one member: the busiest.
// Requires: n >= 1.
double PredictSeconds(Algorithm algorithm, Rank n, std::size_t bytes,
                      const Link& link);

Algorithm ChooseAllReduce(Rank n, std::size_t bytes, const Link& link);
Algorithm ChooseBroadcast(Rank n, std::size_t bytes, const Link& link);

// A multiple of 64, at most `largest`. Broadcasts are cut small enough to flow
// through their members; all-reduces send every member something else anyway,
// and are the faster the fewer messages there are.
std::size_t ChoosePieceBytes(Algorithm algorithm, std::size_t bytes,
                             std::size_t largest);

}  // namespace hearsay::transport::collective
