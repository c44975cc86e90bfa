// Model weights as a safetensors file: what checkpoints and exported weights
// have in common.
//
// Metadata: "hearsay.kind" = "checkpoint" or "weights"; "hearsay.model" = the
// Canonical text; checkpoints also "hearsay.step", "hearsay.node",
// "hearsay.cluster" and what else the daemon wants to find again. Tensors: one
// F32 tensor for each of ParameterSlices, under its name; a checkpoint also has
// the optimiser's ("optimizer.*"), that of mixing ("mixing.*"), and, if one is
// kept, a moving average of each that is trained ("ema." and its name).
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "model/arena.h"
#include "model/safetensors.h"
#include "model/spec.h"

namespace hearsay::model {

inline constexpr const char* kKindKey = "hearsay.kind";
inline constexpr const char* kModelKey = "hearsay.model";
inline constexpr const char* kStepKey = "hearsay.step";
inline constexpr const char* kNodeKey = "hearsay.node";
inline constexpr const char* kClusterKey = "hearsay.cluster";
inline constexpr const char* kCheckpointKind = "checkpoint";
inline constexpr const char* kWeightsKind = "weights";
inline constexpr const char* kOptimizerPrefix = "optimizer.";
inline constexpr const char* kMixingPrefix = "mixing.";
inline constexpr const char* kEmaPrefix = "ema.";

enum class Which { kLive, kEma };

struct WeightsFile {
  ModelSpec spec;
  Arena weights;
  Metadata metadata;
  SafetensorsFile file;  // For the optimiser's tensors.
};

// Checks that the file is whole, describes a model, and has that model's
// tensors: all of them, of the right shapes, every value finite, and no others
// but a checkpoint's. `which`: the weights themselves, or their average.
// Throws: FileError (also for an average that the file does not have).
WeightsFile ReadWeights(const std::filesystem::path& path,
                        Which which = Which::kLive);

// All parameters of `spec` out of a file that may come from anywhere, PyTorch
// for one: its names and shapes must be the model's. A checkpoint or weights of
// Hearsay will do; metadata is not looked at.
// Throws: FileError that names the layer. Requires: a valid spec.
Arena ReadInitialWeights(const std::filesystem::path& path,
                         const ModelSpec& spec);

// Views of `weights`, to be written under the metadata above.
// Requires: a valid spec, weights.size() == ParameterCount(spec), which outlive
// the result.
std::vector<Tensor> WeightTensors(const ModelSpec& spec,
                                  std::span<const float> weights);

}  // namespace hearsay::model
