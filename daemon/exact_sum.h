// The private sum with privacy.noise = "exact": each record's gradient on its
// own, clipped onto a grid of integers, and discrete Gaussian noise
// (dp/grid_sum.h).
//
// Where the fast sum forms no record's gradient, this one forms each, so that
// it can be clipped by its very own values: it costs what steps of one record
// cost, and works for every layer. On the CPU; a GPU's is
// private_sum.h's MakeDeviceSum.
#pragma once

#include <memory>

#include "daemon/private_sum.h"

namespace hearsay::daemon {

// `network` needs room for one example. `shard` must outlive it. Its Compute
// throws std::invalid_argument for terms without noise.
std::unique_ptr<PrivateSum> MakeExactSum(
    std::unique_ptr<model::Network> network, const model::Shard& shard,
    std::size_t parameters);

}  // namespace hearsay::daemon
