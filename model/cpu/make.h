// What MakeCpuNetwork (model/network.h) makes, of a model that it has checked.
#pragma once

#include <memory>

#include "model/network.h"

namespace hearsay::model::cpu {

// On the thread that calls. Throws: as MakeCpuNetwork.
std::unique_ptr<Network> MakeNetwork(const ModelSpec& spec, int max_batch,
                                     const Frozen& frozen);
// On that and `threads` - 1 of its own. Requires: threads >= 2.
std::unique_ptr<Network> MakeThreadedNetwork(const ModelSpec& spec,
                                             int max_batch,
                                             const Frozen& frozen, int threads);

}  // namespace hearsay::model::cpu
