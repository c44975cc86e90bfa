// Initial weights: the same on every node that has the same 32-byte key, on any
// machine, bit for bit (no libm, no std:: distribution, whose results differ
// between libraries). The key is public: it is never used for noise.
//
// Weights uniform with Glorot's bound for none, tanh and sigmoid, He's for relu
// and gelu, whichever comes next; biases zero; the factors of norms one.
// Sources: Glorot and Bengio 2010; He et al. 2015.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "model/spec.h"

namespace hearsay::model {

// Requires: weights.size() == ParameterCount(spec).
void Initialise(const ModelSpec& spec,
                const std::array<std::uint8_t, 32>& public_key,
                std::span<float> weights);

}  // namespace hearsay::model
