#include "model/cpu/layers/order.h"

#include <cstddef>
#include <utility>

#include "model/cpu/conv_kernels.h"
#include "model/cpu/layers/windows.h"

namespace hearsay::model::cpu {

namespace {

// Its rows are then its images as they are.
bool CanGive(const model::Layer& layer) {
  const auto* conv = std::get_if<Conv2d>(&layer.kind);
  return conv != nullptr && conv->groups == 1 &&
         Padded(conv->filters) == conv->filters;
}

bool CanTake(const model::Layer& layer) {
  return std::holds_alternative<Conv2d>(layer.kind);
}

// A pool can also turn images back to (C, H, W).
bool IsPool(const model::Layer& layer, const Shape& in) {
  const auto* pool = std::get_if<MaxPool2d>(&layer.kind);
  return pool != nullptr && CanSweepChannelsLast(*pool, in);
}

bool CanKeep(const model::Layer& layer, const Shape& in) {
  return std::holds_alternative<model::Activate>(layer.kind) ||
         IsPool(layer, in);
}

bool Rises(const model::Layer& layer) {
  const auto* activate = std::get_if<model::Activate>(&layer.kind);
  return activate != nullptr && activate->activation != Activation::kGelu;
}

}  // namespace

std::vector<model::Layer> PoolsFirst(std::vector<model::Layer> layers) {
  for (std::size_t l = 0; l + 1 < layers.size(); ++l)
    if (Rises(layers[l]) &&
        std::holds_alternative<MaxPool2d>(layers[l + 1].kind))
      std::swap(layers[l], layers[l + 1]);
  return layers;
}

std::vector<bool> GivesChannelsLast(const std::vector<model::Layer>& layers,
                                    const std::vector<Shape>& shapes) {
  std::vector<bool> gives(layers.size());
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (!CanGive(layers[l])) continue;
    std::size_t end = l;  // the layer that takes them last
    std::size_t next = l + 1;
    for (; next < layers.size() && CanKeep(layers[next], shapes[next]); ++next)
      if (IsPool(layers[next], shapes[next])) end = next;
    if (next < layers.size() && CanTake(layers[next])) end = next;
    for (std::size_t between = l; between < end; ++between)
      gives[between] = true;
  }
  return gives;
}

}  // namespace hearsay::model::cpu
