// What a way to mix costs and gives, before anything is run: closed forms where
// there are some, else the topology's own matrices applied to vectors.
//
// Pure. Sources: for the ring, its circulant eigenvalues (ops/decisions/0021);
// for wire times, Thakur, Rabenseifner, Gropp 2005.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/mixing/topology.h"

namespace hearsay::ops {

// Synchronous rounds of one_way: each moves half way to whom it asks.
struct Mixing {
  double rate = 0;                      // what is left of disagreement a round
  std::optional<std::uint64_t> to_1e3;  // rounds to a thousandth; none: > 10^7
};
Mixing MixingOf(mixing::TopologyKind kind, std::size_t nodes);

// Variance of a node about the mean, in units of the noise that a step adds,
// with one round of mixing a step; with a full average every `every` steps if
// that is not 0. Of the ring in closed form, else measured on the matrices.
double ConsensusVariance(mixing::TopologyKind kind, std::size_t nodes,
                         std::uint64_t every = 0);

// The longest interval of full averages that keeps the variance within `most`.
std::optional<std::uint64_t> ResyncWithin(mixing::TopologyKind kind,
                                          std::size_t nodes, double most);

// What each node's data counts for, 1 = an equal share, from its rate.
std::vector<double> EffectiveWeights(const std::vector<double>& rates,
                                     bool objective_nodes);

// Seconds on the wire: `bytes` of a message, `latency` one way, `bandwidth` in
// bytes a second of each link.
struct Link {
  double latency = 0;
  double bandwidth = 0;
};
struct WireTimes {
  double exchange = 0;  // pairwise, both ways at once
  double ring = 0;      // all-reduce
  double halving_doubling = 0;
  double server = 0;  // one parameter server, a step of all
};
WireTimes WireTimesOf(std::size_t nodes, double bytes, const Link& link);

// In words, most important first.
std::vector<std::string> Advice(mixing::TopologyKind kind, std::size_t nodes,
                                std::uint64_t resync_every,
                                const std::vector<double>& rates);

}  // namespace hearsay::ops
