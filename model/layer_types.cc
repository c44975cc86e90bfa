// The types of layers by name.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <array>
#include <stdexcept>

#include "model/spec.h"

namespace hearsay::model {

namespace {

const std::vector<Layer>& Types() {
  static const std::vector<Layer> types = {
      Dense{},     Conv2d{},      MaxPool2d{},      AvgPool2d{},
      Flatten{},   LayerNorm{},   GroupNorm{},      Dropout{},
      Residual{},  Embedding{},   TableEmbedding{}, PositionEmbedding{},
      Attention{}, SequenceMean{}};
  return types;
}

constexpr std::array<Activation, 4> kActivationLayers = {
    Activation::kRelu, Activation::kTanh, Activation::kGelu,
    Activation::kSigmoid};

struct NameOf {
  std::string operator()(const Dense&) const { return "dense"; }
  std::string operator()(const Conv2d&) const { return "conv2d"; }
  std::string operator()(const MaxPool2d&) const { return "max_pool2d"; }
  std::string operator()(const AvgPool2d&) const { return "avg_pool2d"; }
  std::string operator()(const Flatten&) const { return "flatten"; }
  std::string operator()(const Activate& layer) const {
    return Word(layer.activation);
  }
  std::string operator()(const LayerNorm&) const { return "layer_norm"; }
  std::string operator()(const GroupNorm&) const { return "group_norm"; }
  std::string operator()(const Dropout&) const { return "dropout"; }
  std::string operator()(const Residual&) const { return "residual"; }
  std::string operator()(const Embedding&) const { return "embedding"; }
  std::string operator()(const TableEmbedding&) const {
    return "table_embedding";
  }
  std::string operator()(const PositionEmbedding&) const {
    return "position_embedding";
  }
  std::string operator()(const Attention&) const { return "attention"; }
  std::string operator()(const SequenceMean&) const { return "sequence_mean"; }
};

}  // namespace

bool Residual::operator==(const Residual& other) const {
  return body == other.body && projection == other.projection;
}

std::string TypeName(const Layer& layer) {
  return std::visit(NameOf(), layer.kind);
}

std::vector<std::string> LayerTypes() {
  std::vector<std::string> types;
  for (const Layer& layer : Types()) types.push_back(TypeName(layer));
  for (const Activation activation : kActivationLayers)
    types.push_back(Word(activation));
  return types;
}

Layer LayerOfType(const std::string& type) {
  for (const Layer& layer : Types())
    if (TypeName(layer) == type) return layer;
  for (const Activation activation : kActivationLayers)
    if (Word(activation) == type) return Activate{activation};
  if (type.starts_with("batch_norm"))
    throw std::invalid_argument(
        "batch_norm is not offered: it computes every example from the whole "
        "batch, so that no example has a gradient of its own to clip and "
        "nothing bounds what one record can change; use group_norm or "
        "layer_norm");
  throw std::invalid_argument(
      fmt::format("unknown layer type '{}' (allowed: {})", type,
                  fmt::join(LayerTypes(), ", ")));
}

bool TakesCodes(const Layer& layer) {
  return std::holds_alternative<Embedding>(layer.kind) ||
         std::holds_alternative<TableEmbedding>(layer.kind);
}

const std::vector<Layer>* BodyOf(const Layer& layer) {
  const auto* residual = std::get_if<Residual>(&layer.kind);
  return residual == nullptr ? nullptr : &residual->body;
}

std::vector<Layer>* BodyOf(Layer& layer) {
  auto* residual = std::get_if<Residual>(&layer.kind);
  return residual == nullptr ? nullptr : &residual->body;
}

}  // namespace hearsay::model
