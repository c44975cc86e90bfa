// What holds along a list of layers: the model's own, or the body of a residual
// block.
#include <fmt/core.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "model/layer_rules.h"

namespace hearsay::model {

namespace {

constexpr double kMostParameters = 0x1p31;
// Of one example between two layers: indices are ints.
constexpr double kMostValues = 0x1p30;

template <typename... Arguments>
[[noreturn]] void RefuseLayer(const std::vector<Layer>& layers, std::size_t at,
                              fmt::format_string<Arguments...> text,
                              Arguments&&... arguments) {
  throw std::invalid_argument(
      fmt::format("layer {} ({}): {}", at, TypeName(layers[at]),
                  fmt::format(text, std::forward<Arguments>(arguments)...)));
}

int DepthOf(const std::vector<Layer>& layers) {
  int deepest = 0;
  for (const Layer& layer : layers)
    if (const auto* body = BodyOf(layer))
      deepest = std::max(deepest, 1 + DepthOf(*body));
  return deepest;
}

// What the layers around it have to say, before what it has itself.
void CheckPlace(const std::vector<Layer>& layers, std::size_t at) {
  if (const auto* body = BodyOf(layers[at]);
      body != nullptr && DepthOf(*body) >= kDeepestBody)
    RefuseLayer(layers, at, "bodies inside bodies are at most {} deep",
                kDeepestBody);
  const auto* dense = std::get_if<Dense>(&layers[at].kind);
  if (const auto* body = BodyOf(layers[at]);
      (body != nullptr && !body->empty() && TakesCodes(body->front())) ||
      (at > 0 && TakesCodes(layers[at])))
    RefuseLayer(layers, at,
                "an embedding must be the first layer of the model: codes are "
                "what the data has, and no layer makes any");
  if (dense == nullptr) return;
  Word(dense->activation);  // Throws for a stray value.
  if (dense->activation == Activation::kNone && at + 1 < layers.size() &&
      std::holds_alternative<Activate>(layers[at + 1].kind))
    RefuseLayer(layers, at + 1,
                "must be given as the activation of the dense layer before "
                "it, so that equal models have equal descriptions");
}

double ParametersIn(const Layer& layer, const Shape& in) {
  double sum = 0;
  for (const Parameter& parameter : ParametersOf(layer, in)) {
    double size = 1;
    for (const std::int64_t extent : parameter.shape)
      size *= static_cast<double>(extent);
    sum += size;
  }
  return sum;
}

Activation ActivationAfter(const std::vector<Layer>& layers, std::size_t at) {
  if (const auto* dense = std::get_if<Dense>(&layers[at].kind);
      dense != nullptr && dense->activation != Activation::kNone)
    return dense->activation;
  if (at + 1 == layers.size()) return Activation::kNone;
  const auto* next = std::get_if<Activate>(&layers[at + 1].kind);
  return next == nullptr ? Activation::kNone : next->activation;
}

}  // namespace

std::vector<Shape> ShapesAlong(const std::vector<Layer>& layers,
                               const Shape& in) {
  std::vector<Shape> shapes = {in};
  double parameters = 0;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    CheckPlace(layers, l);
    const Shape out = [&] {
      try {
        return OutputShape(layers[l], shapes.back());
      } catch (const std::invalid_argument& error) {
        RefuseLayer(layers, l, "{}", error.what());
      }
    }();
    parameters += ParametersIn(layers[l], shapes.back());
    if (parameters > kMostParameters)
      RefuseLayer(layers, l,
                  "the model would have {:.0f} parameters up to here; at most "
                  "{:.0f} are supported",
                  parameters, kMostParameters);
    double values = 1;
    for (const int extent : out) values *= extent;
    if (values > kMostValues)
      RefuseLayer(layers, l,
                  "{} values an example come out; at most {:.0f} are supported",
                  Text(out), kMostValues);
    shapes.push_back(out);
  }
  return shapes;
}

int ModulesOf(const Layer& layer) {
  const auto* dense = std::get_if<Dense>(&layer.kind);
  return dense != nullptr && dense->activation != Activation::kNone ? 2 : 1;
}

std::vector<Parameter> ParametersAlong(const std::vector<Layer>& layers,
                                       const Shape& in) {
  const std::vector<Shape> shapes = ShapesAlong(layers, in);
  std::vector<Parameter> all;
  int module = 0;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    for (Parameter& parameter : ParametersOf(layers[l], shapes[l])) {
      parameter.name = fmt::format("{}.{}", module, parameter.name);
      parameter.layer = l;
      if (BodyOf(layers[l]) == nullptr)
        parameter.next = ActivationAfter(layers, l);
      all.push_back(std::move(parameter));
    }
    module += ModulesOf(layers[l]);
  }
  return all;
}

}  // namespace hearsay::model
