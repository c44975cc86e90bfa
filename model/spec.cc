#include "model/spec.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "model/layer_rules.h"

namespace hearsay::model {

namespace {

template <typename T>
using Words = std::pair<T, std::string_view>;

constexpr std::array<Words<Activation>, 5> kActivations = {{
    {Activation::kNone, "none"},
    {Activation::kRelu, "relu"},
    {Activation::kTanh, "tanh"},
    {Activation::kGelu, "gelu"},
    {Activation::kSigmoid, "sigmoid"},
}};

constexpr std::array<Words<Mask>, 2> kMasks = {{
    {Mask::kNone, "none"},
    {Mask::kCausal, "causal"},
}};

constexpr std::array<Words<Loss>, 3> kLosses = {{
    {Loss::kSoftmaxCrossEntropy, "softmax_cross_entropy"},
    {Loss::kBinaryCrossEntropy, "binary_cross_entropy"},
    {Loss::kMse, "mse"},
}};

template <typename T, std::size_t N>
T Parse(const std::array<Words<T>, N>& words, const char* what,
        std::string_view word) {
  const auto* const found =
      std::find_if(words.begin(), words.end(),
                   [&](auto& pair) { return pair.second == word; });
  if (found != words.end()) return found->first;
  std::vector<std::string_view> allowed;
  allowed.reserve(N);
  for (const auto& pair : words) allowed.push_back(pair.second);
  throw std::invalid_argument(fmt::format("unknown {} '{}' (allowed: {})", what,
                                          word, fmt::join(allowed, ", ")));
}

template <typename T, std::size_t N>
std::string WordOf(const std::array<Words<T>, N>& words, T value) {
  const auto* const found =
      std::find_if(words.begin(), words.end(),
                   [&](auto& pair) { return pair.first == value; });
  if (found == words.end()) throw std::invalid_argument("not a known value");
  return std::string(found->second);
}

template <typename... Arguments>
[[noreturn]] void RefuseLast(const ModelSpec& spec,
                             fmt::format_string<Arguments...> text,
                             Arguments&&... arguments) {
  throw std::invalid_argument(fmt::format(
      "layer {} ({}): {}", spec.layers.size() - 1, TypeName(spec.layers.back()),
      fmt::format(text, std::forward<Arguments>(arguments)...)));
}

void ValidateOutputs(const ModelSpec& spec, const Shape& last_shape) {
  if (last_shape.size() != 1)
    RefuseLast(spec,
               "the last layer's outputs must be flat, not {}: put a flatten "
               "layer behind it",
               Text(last_shape));
  const int outputs = last_shape[0];
  if (spec.loss == Loss::kBinaryCrossEntropy && outputs != 1)
    RefuseLast(spec,
               "binary_cross_entropy needs 1 unit in the last layer, not {} "
               "(use softmax_cross_entropy for classes)",
               outputs);
  if (spec.loss == Loss::kSoftmaxCrossEntropy && outputs < 2)
    RefuseLast(spec,
               "softmax_cross_entropy needs one unit a class, 2 or more in "
               "the last layer, not {}",
               outputs);
}

void ValidateInputs(const ModelSpec& spec) {
  if (spec.inputs < 1)
    throw std::invalid_argument(
        fmt::format("a model needs 1 or more inputs, not {}", spec.inputs));
  if (spec.shape.empty()) return;
  double values = 1;
  for (const int extent : spec.shape) values *= std::max(extent, 0);
  // A flat input has no shape: one model, one text.
  if (spec.shape.size() < 2 || spec.shape.size() > 3 || values != spec.inputs)
    throw std::invalid_argument(
        fmt::format("an input of {} values cannot lie as {}: an image is "
                    "(channels, height, width), a sequence (places, values)",
                    spec.inputs, Text(spec.shape)));
}

Shape InputShape(const ModelSpec& spec) {
  return spec.shape.empty() ? Shape{spec.inputs} : spec.shape;
}

}  // namespace

std::size_t ParameterSlice::size() const {
  std::size_t product = 1;
  for (const std::int64_t extent : shape)
    product *= static_cast<std::size_t>(extent);
  return product;
}

void Validate(const ModelSpec& spec) {
  ValidateInputs(spec);
  if (spec.layers.empty())
    throw std::invalid_argument("a model needs at least one layer");
  const Shape outputs = ShapesAlong(spec.layers, InputShape(spec)).back();
  if (ParametersAlong(spec.layers, InputShape(spec)).empty())
    throw std::invalid_argument("a model needs a layer that has parameters");
  WordOf(kLosses, spec.loss);
  ValidateOutputs(spec, outputs);
}

std::vector<Shape> Shapes(const ModelSpec& spec) {
  return ShapesAlong(spec.layers, InputShape(spec));
}

int Outputs(const ModelSpec& spec) { return Shapes(spec).back()[0]; }

int LabelWidth(const ModelSpec& spec) {
  return spec.loss == Loss::kMse ? Outputs(spec) : 1;
}

std::vector<ParameterSlice> ParameterSlices(const ModelSpec& spec) {
  std::vector<ParameterSlice> slices;
  std::size_t offset = 0;
  for (Parameter& parameter : ParametersAlong(spec.layers, InputShape(spec))) {
    slices.push_back({std::move(parameter.name), offset,
                      std::move(parameter.shape), parameter.layer});
    offset += slices.back().size();
  }
  return slices;
}

std::size_t ParameterCount(const ModelSpec& spec) {
  std::size_t count = 0;
  for (const ParameterSlice& slice : ParameterSlices(spec))
    count += slice.size();
  return count;
}

bool IsPlain(const ModelSpec& spec, std::string* why) {
  std::size_t l = 0;
  while (l < spec.layers.size() &&
         std::holds_alternative<Dense>(spec.layers[l].kind) &&
         spec.layers[l].dense().activation != Activation::kSigmoid)
    ++l;
  if (l == spec.layers.size() && spec.shape.empty()) return true;
  if (why != nullptr)
    *why = l == spec.layers.size()
               ? "an input that has a shape"
               : fmt::format("layer {} ({})", l,
                             std::holds_alternative<Dense>(spec.layers[l].kind)
                                 ? "dense with sigmoid"
                                 : TypeName(spec.layers[l]));
  return false;
}

Activation ParseActivation(const std::string& word) {
  return Parse(kActivations, "activation", word);
}

Mask ParseMask(const std::string& word) { return Parse(kMasks, "mask", word); }

Loss ParseLoss(const std::string& word) { return Parse(kLosses, "loss", word); }

std::string Word(Activation activation) {
  return WordOf(kActivations, activation);
}

std::string Word(Mask mask) { return WordOf(kMasks, mask); }

std::string Word(Loss loss) { return WordOf(kLosses, loss); }

}  // namespace hearsay::model
