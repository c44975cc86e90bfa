// In which order layers are taken, and in which their images lie.
//
// Which layers hand images on channels last, (H, W, C), instead of PyTorch's
// (C, H, W): a convolution makes them so and wants them so (conv_kernels.h),
// and what lies between two of them need not care. Flattening, weights and
// exports know (C, H, W) only; what they are given is that.
#pragma once

#include <vector>

#include "model/spec.h"

namespace hearsay::model::cpu {

// A rising activation and the max pool behind it change places: the largest of
// what an activation makes is what it makes of the largest, and of those there
// are fewer. Nothing else can tell.
std::vector<model::Layer> PoolsFirst(std::vector<model::Layer> layers);

// For each layer, whether it gives its images channels last. The model's own
// inputs and outputs never are. `shapes`: of the inputs of each.
std::vector<bool> GivesChannelsLast(const std::vector<model::Layer>& layers,
                                    const std::vector<Shape>& shapes);

}  // namespace hearsay::model::cpu
