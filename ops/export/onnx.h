// A trained model as an ONNX file, for whoever wants to run it without Hearsay.
//
// Opset 17. One input, "input", float32 (batch, I), or (batch, C, H, W) for an
// image, or (batch, T, d) for a sequence; codes are whole numbers in float32,
// too, as in a shard. One output, "output" (batch, O): what the loss is given,
// so logits for classes. Initialisers have the names of nn.Sequential
// ("0.weight"), and the metadata says which model it was and what its loss is.
// Source: ONNX operators, version 17 (https://onnx.ai).
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "model/spec.h"

namespace hearsay::ops {

// The bytes of the file. Requires: a valid spec, weights of its size.
// Throws: std::invalid_argument if the model is too large for one file.
std::string EncodeOnnx(const model::ModelSpec& spec,
                       std::span<const float> weights);

}  // namespace hearsay::ops
