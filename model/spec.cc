#include "model/spec.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace hearsay::model {

namespace {

constexpr std::string_view kFormat = "hearsay-model/1";
constexpr std::uint64_t kMostParameters = std::uint64_t{1} << 31;

template <typename T>
using Words = std::pair<T, std::string_view>;

constexpr std::array<Words<Activation>, 4> kActivations = {{
    {Activation::kNone, "none"},
    {Activation::kRelu, "relu"},
    {Activation::kTanh, "tanh"},
    {Activation::kGelu, "gelu"},
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

[[noreturn]] void NotCanonical(std::string_view text, const std::string& why) {
  throw std::invalid_argument(fmt::format(
      "not a model description: {} in '{}' (expected e.g. '{} inputs=10 "
      "dense(16,tanh) dense(2,none) loss=softmax_cross_entropy')",
      why, text.substr(0, 200), kFormat));
}

// The word that follows, without the space after it.
std::string_view TakeWord(std::string_view& rest) {
  const std::size_t space = rest.find(' ');
  const std::string_view word = rest.substr(0, space);
  rest.remove_prefix(space == std::string_view::npos ? rest.size() : space + 1);
  return word;
}

bool TakePrefix(std::string_view& word, std::string_view prefix) {
  if (!word.starts_with(prefix)) return false;
  word.remove_prefix(prefix.size());
  return true;
}

int ParseCount(std::string_view text, std::string_view digits) {
  int value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size())
    NotCanonical(text, fmt::format("bad number '{}'", digits.substr(0, 40)));
  return value;
}

Dense ParseDense(std::string_view text, std::string_view word) {
  const std::size_t comma = word.find(',');
  if (comma == std::string_view::npos || !word.ends_with(')'))
    NotCanonical(text, "a layer that is not dense(UNITS,ACTIVATION)");
  const std::string_view activation =
      word.substr(comma + 1, word.size() - comma - 2);
  return {.units = ParseCount(text, word.substr(0, comma)),
          .activation = Parse(kActivations, "activation", activation)};
}

void ValidateOutputs(const ModelSpec& spec) {
  const std::size_t last = spec.layers.size() - 1;
  const int outputs = spec.layers.back().units;
  if (spec.loss == Loss::kBinaryCrossEntropy && outputs != 1)
    throw std::invalid_argument(fmt::format(
        "layer {}: binary_cross_entropy needs 1 unit in the last layer, not {} "
        "(use softmax_cross_entropy for classes)",
        last, outputs));
  if (spec.loss == Loss::kSoftmaxCrossEntropy && outputs < 2)
    throw std::invalid_argument(fmt::format(
        "layer {}: softmax_cross_entropy needs one unit a class, 2 or more in "
        "the last layer, not {}",
        last, outputs));
}

}  // namespace

std::size_t ParameterSlice::size() const {
  std::size_t product = 1;
  for (const std::int64_t extent : shape)
    product *= static_cast<std::size_t>(extent);
  return product;
}

void Validate(const ModelSpec& spec) {
  if (spec.inputs < 1)
    throw std::invalid_argument(
        fmt::format("a model needs 1 or more inputs, not {}", spec.inputs));
  if (spec.layers.empty())
    throw std::invalid_argument("a model needs at least one layer");
  std::uint64_t parameters = 0;
  auto inputs = static_cast<std::uint64_t>(spec.inputs);
  for (std::size_t l = 0; l < spec.layers.size(); ++l) {
    const Dense& layer = spec.layers[l];
    if (layer.units < 1)
      throw std::invalid_argument(fmt::format(
          "layer {}: units must be 1 or more, not {}", l, layer.units));
    WordOf(kActivations, layer.activation);  // throws for a stray enum value
    const auto units = static_cast<std::uint64_t>(layer.units);
    parameters += (inputs + 1) * units;  // each factor < 2^32: no overflow
    if (parameters > kMostParameters)
      throw std::invalid_argument(fmt::format(
          "layer {}: the model would have {} parameters up to here; at most {} "
          "are supported",
          l, parameters, kMostParameters));
    inputs = units;
  }
  WordOf(kLosses, spec.loss);
  ValidateOutputs(spec);
}

int Outputs(const ModelSpec& spec) { return spec.layers.back().units; }

int LabelWidth(const ModelSpec& spec) {
  return spec.loss == Loss::kMse ? Outputs(spec) : 1;
}

std::vector<ParameterSlice> ParameterSlices(const ModelSpec& spec) {
  std::vector<ParameterSlice> slices;
  std::size_t offset = 0;
  const auto add = [&](std::string name, std::vector<std::int64_t> shape) {
    slices.push_back({std::move(name), offset, std::move(shape)});
    offset += slices.back().size();
  };
  // nn.Sequential numbers an activation as a module of its own.
  int module = 0;
  int inputs = spec.inputs;
  for (const Dense& layer : spec.layers) {
    add(fmt::format("{}.weight", module), {layer.units, inputs});
    add(fmt::format("{}.bias", module), {layer.units});
    module += layer.activation == Activation::kNone ? 1 : 2;
    inputs = layer.units;
  }
  return slices;
}

std::size_t ParameterCount(const ModelSpec& spec) {
  std::size_t count = 0;
  for (const ParameterSlice& slice : ParameterSlices(spec))
    count += slice.size();
  return count;
}

std::string Canonical(const ModelSpec& spec) {
  std::string text = fmt::format("{} inputs={}", kFormat, spec.inputs);
  for (const Dense& layer : spec.layers)
    text += fmt::format(" dense({},{})", layer.units, Word(layer.activation));
  return text + fmt::format(" loss={}", Word(spec.loss));
}

ModelSpec ParseCanonical(const std::string& text) {
  ModelSpec spec;
  std::string_view rest = text;
  if (TakeWord(rest) != kFormat)
    NotCanonical(text, fmt::format("no leading '{}'", kFormat));
  std::string_view word = TakeWord(rest);
  if (!TakePrefix(word, "inputs=")) NotCanonical(text, "no 'inputs='");
  spec.inputs = ParseCount(text, word);
  word = TakeWord(rest);
  while (TakePrefix(word, "dense(")) {
    spec.layers.push_back(ParseDense(text, word));
    word = TakeWord(rest);
  }
  if (!TakePrefix(word, "loss="))
    NotCanonical(text, fmt::format("unknown '{}'", word.substr(0, 40)));
  spec.loss = ParseLoss(std::string(word));
  Validate(spec);
  // Two spellings of one model must not both be accepted: equal texts are what
  // peers compare. Catches leading zeros, doubled spaces, trailing words.
  if (Canonical(spec) != text) NotCanonical(text, "stray characters");
  return spec;
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
