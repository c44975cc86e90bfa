#include "model/frozen.h"

#include <fmt/core.h>

#include <algorithm>
#include <cassert>
#include <stdexcept>
#include <utility>

namespace hearsay::model {

namespace {

bool IsFrozen(const std::vector<bool>& layers, const ParameterSlice& slice) {
  return !layers.empty() && layers[slice.layer];
}

std::vector<ParameterSlice> Those(const ModelSpec& spec,
                                  const std::vector<bool>& layers,
                                  bool frozen) {
  assert(layers.empty() || layers.size() == spec.layers.size());
  std::vector<ParameterSlice> slices;
  std::size_t offset = 0;
  for (ParameterSlice& slice : ParameterSlices(spec)) {
    if (IsFrozen(layers, slice) != frozen) continue;
    slice.offset = offset;
    offset += slice.size();
    slices.push_back(std::move(slice));
  }
  return slices;
}

}  // namespace

void ValidateFrozen(const ModelSpec& spec, const std::vector<bool>& layers) {
  if (layers.empty()) return;
  const auto slices = ParameterSlices(spec);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const bool has =
        std::any_of(slices.begin(), slices.end(),
                    [l](const auto& slice) { return slice.layer == l; });
    if (layers[l] && !has)
      throw std::invalid_argument(
          fmt::format("layer {} ({}): has no parameters to freeze", l,
                      TypeName(spec.layers[l])));
  }
  if (TrainedCount(spec, layers) == 0)
    throw std::invalid_argument(
        "every layer that has parameters is frozen: nothing is left to train");
}

std::vector<ParameterSlice> TrainedSlices(const ModelSpec& spec,
                                          const std::vector<bool>& layers) {
  return Those(spec, layers, false);
}

std::vector<ParameterSlice> FrozenSlices(const ModelSpec& spec,
                                         const std::vector<bool>& layers) {
  return Those(spec, layers, true);
}

std::size_t TrainedCount(const ModelSpec& spec,
                         const std::vector<bool>& layers) {
  std::size_t count = 0;
  for (const auto& slice : TrainedSlices(spec, layers)) count += slice.size();
  return count;
}

Parts Divide(const ModelSpec& spec, const std::vector<bool>& layers,
             std::span<const float> all) {
  assert(all.size() == ParameterCount(spec));
  Parts parts;
  parts.frozen.layers = layers;
  for (const auto& slice : ParameterSlices(spec)) {
    const auto values = all.subspan(slice.offset, slice.size());
    auto& part = IsFrozen(layers, slice) ? parts.frozen.values : parts.trained;
    part.insert(part.end(), values.begin(), values.end());
  }
  return parts;
}

}  // namespace hearsay::model
