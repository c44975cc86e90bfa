// Layers that are not trained: fine-tuning keeps what a model learnt elsewhere.
//
// Their parameters are constants of the network and lie outside the arena. So
// they take no gradient, no noise, no part in the clip norm and no byte on the
// wire: nothing that is done to the arena can reach them. What is written to a
// file is whole, all the same.
#pragma once

#include <span>
#include <vector>

#include "model/spec.h"

namespace hearsay::model {

struct Frozen {
  std::vector<bool> layers;  // by layer of the spec; empty: none is frozen
  std::vector<float> values = {};  // their parameters (F), in order
  bool Has(std::size_t layer) const { return !layers.empty() && layers[layer]; }
};

// Throws: std::invalid_argument that names the layer: one that has nothing to
// freeze, or all are frozen.
void ValidateFrozen(const ModelSpec& spec, const std::vector<bool>& layers);

// Of the layers that are trained, as they lie in the arena; of those that are
// not, as they lie in Frozen::values. Require: a valid spec, layers of its size
// or empty.
std::vector<ParameterSlice> TrainedSlices(const ModelSpec& spec,
                                          const std::vector<bool>& layers);
std::vector<ParameterSlice> FrozenSlices(const ModelSpec& spec,
                                         const std::vector<bool>& layers);
std::size_t TrainedCount(const ModelSpec& spec,
                         const std::vector<bool>& layers);

// The two parts of all parameters, in the order of ParameterSlices.
struct Parts {
  std::vector<float> trained;
  Frozen frozen;
};
Parts Divide(const ModelSpec& spec, const std::vector<bool>& layers,
             std::span<const float> all);

}  // namespace hearsay::model
