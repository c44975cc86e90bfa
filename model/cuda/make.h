// What the module makes; module.cc hands these out (api.h).
#pragma once

#include <memory>

#include "model/cuda/api.h"

namespace hearsay::model::cuda {

// Require: at most kMostLayers layers. All throw std::runtime_error.
std::unique_ptr<Network> MakeNetwork(const Plan& plan);
std::unique_ptr<DeviceStep> MakeStep(const Plan& plan, const Examples& shard);
std::unique_ptr<DeviceStep> MakeExactStep(const Plan& plan,
                                          const Examples& shard);

}  // namespace hearsay::model::cuda
