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

constexpr double kMostParameters = 0x1p31;
// Of one example between two layers: indices are ints.
constexpr double kMostValues = 0x1p30;

template <typename T>
using Words = std::pair<T, std::string_view>;

constexpr std::array<Words<Activation>, 5> kActivations = {{
    {Activation::kNone, "none"},
    {Activation::kRelu, "relu"},
    {Activation::kTanh, "tanh"},
    {Activation::kGelu, "gelu"},
    {Activation::kSigmoid, "sigmoid"},
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
[[noreturn]] void RefuseLayer(const ModelSpec& spec, std::size_t layer,
                              fmt::format_string<Arguments...> text,
                              Arguments&&... arguments) {
  throw std::invalid_argument(
      fmt::format("layer {} ({}): {}", layer, TypeName(spec.layers[layer]),
                  fmt::format(text, std::forward<Arguments>(arguments)...)));
}

void ValidateOutputs(const ModelSpec& spec, const Shape& last_shape) {
  const std::size_t last = spec.layers.size() - 1;
  if (last_shape.size() != 1)
    RefuseLayer(spec, last,
                "the last layer's outputs must be flat, not {}: put a flatten "
                "layer behind it",
                Text(last_shape));
  const int outputs = last_shape[0];
  if (spec.loss == Loss::kBinaryCrossEntropy && outputs != 1)
    RefuseLayer(spec, last,
                "binary_cross_entropy needs 1 unit in the last layer, not {} "
                "(use softmax_cross_entropy for classes)",
                outputs);
  if (spec.loss == Loss::kSoftmaxCrossEntropy && outputs < 2)
    RefuseLayer(spec, last,
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
  if (spec.shape.size() != 3 || values != spec.inputs)
    throw std::invalid_argument(
        fmt::format("an input of {} values cannot lie as {}: an image is "
                    "(channels, height, width)",
                    spec.inputs, Text(spec.shape)));
}

// Of the layer that `shape` goes into; `parameters` are those up to there.
Shape Step(const ModelSpec& spec, std::size_t l, const Shape& shape,
           double& parameters) {
  const Layer& layer = spec.layers[l];
  const Shape out = [&] {
    try {
      return OutputShape(layer, shape);
    } catch (const std::invalid_argument& error) {
      RefuseLayer(spec, l, "{}", error.what());
    }
  }();
  for (const Parameter& parameter : ParametersOf(layer, shape)) {
    double size = 1;
    for (const std::int64_t extent : parameter.shape)
      size *= static_cast<double>(extent);
    parameters += size;
  }
  if (parameters > kMostParameters)
    RefuseLayer(spec, l,
                "the model would have {:.0f} parameters up to here; at most "
                "{:.0f} are supported",
                parameters, kMostParameters);
  double values = 1;
  for (const int extent : out) values *= extent;
  if (values > kMostValues)
    RefuseLayer(spec, l,
                "{} values an example come out; at most {:.0f} are supported",
                Text(out), kMostValues);
  return out;
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
  double parameters = 0;
  Shape shape = spec.shape.empty() ? Shape{spec.inputs} : spec.shape;
  for (std::size_t l = 0; l < spec.layers.size(); ++l) {
    const auto* dense = std::get_if<Dense>(&spec.layers[l].kind);
    if (dense != nullptr)
      WordOf(kActivations, dense->activation);  // throws for a stray enum value
    if (dense != nullptr && dense->activation == Activation::kNone &&
        l + 1 < spec.layers.size() &&
        std::holds_alternative<Activate>(spec.layers[l + 1].kind))
      RefuseLayer(spec, l + 1,
                  "must be given as the activation of the dense layer before "
                  "it, so that equal models have equal descriptions");
    shape = Step(spec, l, shape, parameters);
  }
  if (parameters == 0)
    throw std::invalid_argument("a model needs a layer that has parameters");
  WordOf(kLosses, spec.loss);
  ValidateOutputs(spec, shape);
}

std::vector<Shape> Shapes(const ModelSpec& spec) {
  std::vector<Shape> shapes = {spec.shape.empty() ? Shape{spec.inputs}
                                                  : spec.shape};
  for (const Layer& layer : spec.layers)
    shapes.push_back(OutputShape(layer, shapes.back()));
  return shapes;
}

int Outputs(const ModelSpec& spec) { return Shapes(spec).back()[0]; }

int LabelWidth(const ModelSpec& spec) {
  return spec.loss == Loss::kMse ? Outputs(spec) : 1;
}

std::vector<ParameterSlice> ParameterSlices(const ModelSpec& spec) {
  std::vector<ParameterSlice> slices;
  std::size_t offset = 0;
  const auto add = [&](std::size_t layer, std::string name,
                       std::vector<std::int64_t> shape) {
    slices.push_back({std::move(name), offset, std::move(shape), layer});
    offset += slices.back().size();
  };
  // nn.Sequential numbers an activation as a module of its own.
  int module = 0;
  const std::vector<Shape> shapes = Shapes(spec);
  for (std::size_t l = 0; l < spec.layers.size(); ++l) {
    const Layer& layer = spec.layers[l];
    for (Parameter& parameter : ParametersOf(layer, shapes[l]))
      add(l, fmt::format("{}.{}", module, parameter.name),
          std::move(parameter.shape));
    const auto* dense = std::get_if<Dense>(&layer.kind);
    const bool two = dense != nullptr && dense->activation != Activation::kNone;
    module += two ? 2 : 1;
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

Loss ParseLoss(const std::string& word) { return Parse(kLosses, "loss", word); }

std::string Word(Activation activation) {
  return WordOf(kActivations, activation);
}

std::string Word(Loss loss) { return WordOf(kLosses, loss); }

}  // namespace hearsay::model
