// What a run begins with: weights at random, the same on every node, or those
// of a file; and what of them is frozen.
#pragma once

#include <string>
#include <vector>

#include "daemon/checkpoint.h"
#include "daemon/config.h"

namespace hearsay::daemon {

// The constants of the layers that the configuration freezes, out of
// model.weights. Throws: ConfigError, model::FileError; both name the layer.
model::Frozen ReadFrozen(const Config& config, const model::ModelSpec& spec);

// What two nodes must have in common to mix, beside the model's text: "" where
// nothing is frozen.
std::string FrozenText(const model::Frozen& frozen);

// Of the layers that are trained. Requires: identity.model; its fingerprint and
// frozen layers are in place. Throws: model::FileError.
std::vector<float> InitialWeights(const Config& config,
                                  const CheckpointIdentity& identity);

}  // namespace hearsay::daemon
