// The order of a ring by what its edges cost: members that are near each other
// stand beside each other, so that few exchanges go over slow links.
//
// Pure. A tour by the nearest next one, then improved by turning round parts of
// it (2-opt; Croes 1958): at the worst a few per cent above the best for the
// sizes that a ring is good for.
#pragma once

#include <cstddef>
#include <vector>

namespace hearsay::mixing {

// Square, symmetric: what an exchange takes between two members, in any unit;
// not a number where nobody has tried, which counts as the median of the rest.
using EdgeCosts = std::vector<std::vector<double>>;

// Where nothing is known of any edge: in the order that they have. The first
// member comes first. Threads: any.
std::vector<std::size_t> OrderRing(const EdgeCosts& costs);

// Of a ring in this order, unknown edges as above.
double RingCost(const EdgeCosts& costs, const std::vector<std::size_t>& order);

}  // namespace hearsay::mixing
