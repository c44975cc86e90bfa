// What a model is, as data: layers, loss, and where each parameter lies in the
// flat arena. Nothing here computes.
//
// Two nodes may mix only if their models are the same; Canonical() is the text
// that says so (the daemon hashes it into the model fingerprint).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "model/layers.h"

namespace hearsay::model {

// Of one example. kMse is the mean over the outputs, as PyTorch's.
enum class Loss { kSoftmaxCrossEntropy, kBinaryCrossEntropy, kMse };

using Shape = std::vector<int>;

struct ModelSpec {
  int inputs = 0;  // values of one example
  std::vector<Layer> layers;
  Loss loss = Loss::kSoftmaxCrossEntropy;
  // How the inputs lie: (C, H, W) or (T, d), row-major; empty: (inputs).
  Shape shape = {};
};

// One named tensor inside the arena: "0.weight" (units, inputs), "0.bias"
// (units), then "2.weight"... Named as PyTorch's nn.Sequential of the same
// layers would, where an activation other than none is a module with a number
// of its own, so that load_state_dict takes an exported file as it is.
struct ParameterSlice {
  std::string name;
  std::size_t offset;
  std::vector<std::int64_t> shape;
  std::size_t layer = 0;  // of ModelSpec::layers
  std::size_t size() const;
};

// Throws: std::invalid_argument that names the layer and says what is allowed
// (no layers, units < 1, binary cross-entropy with outputs != 1, more than
// 2^31 parameters...).
void Validate(const ModelSpec& spec);

// The functions below require a valid spec.
int Outputs(const ModelSpec& spec);
// Of one example: before the first layer, after the first, ... after the last.
std::vector<Shape> Shapes(const ModelSpec& spec);
// Values an example's label takes in a Batch: 1, or Outputs() for kMse.
int LabelWidth(const ModelSpec& spec);
std::vector<ParameterSlice> ParameterSlices(const ModelSpec& spec);
std::size_t ParameterCount(const ModelSpec& spec);
// Whether the model is dense layers on a flat input, all that a back end for
// devices need know; else `why` names the first layer that is something else.
bool IsPlain(const ModelSpec& spec, std::string* why = nullptr);
// One line of text, equal exactly for equal models, stable across releases.
std::string Canonical(const ModelSpec& spec);
// The inverse of Canonical. Throws: std::invalid_argument.
ModelSpec ParseCanonical(const std::string& text);

// The words of the configuration file. Throw
// std::invalid_argument that lists the allowed words.
Activation ParseActivation(const std::string& word);
Mask ParseMask(const std::string& word);
Loss ParseLoss(const std::string& word);
std::string Word(Activation activation);
std::string Word(Mask mask);
std::string Word(Loss loss);

}  // namespace hearsay::model
