// What MakeCpuNetwork (model/network.h) makes, of a model that it has checked.
#pragma once

#include <memory>

#include "model/network.h"

namespace hearsay::model::cpu {

// On the thread that calls. Throws: as MakeCpuNetwork.
std::unique_ptr<Network> MakeNetwork(const ModelSpec& spec, int max_batch,
                                     const Frozen& frozen);
// On `workers`, of which the caller is one.
std::unique_ptr<Network> MakeThreadedNetwork(const ModelSpec& spec,
                                             int max_batch,
                                             const Frozen& frozen,
                                             std::shared_ptr<Workers> workers);

}  // namespace hearsay::model::cpu
