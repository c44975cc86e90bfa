#include "model/presets.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <array>
#include <stdexcept>
#include <utility>

namespace hearsay::model {

namespace {

constexpr Extent Square(int side) { return {side, side}; }

ModelSpec Mlp(int outputs) {
  return {0,
          {{64, Activation::kRelu}, {64, Activation::kRelu}, {outputs}},
          Loss::kSoftmaxCrossEntropy};
}

// Bounded activations, which train better under clipping (Papernot et al. 2020,
// arXiv:2007.14191).
ModelSpec Tabular(int outputs) {
  return {0,
          {{128, Activation::kTanh}, {32, Activation::kTanh}, {outputs}},
          Loss::kSoftmaxCrossEntropy};
}

// Papernot et al. 2020, table 1; the model of every DP-SGD library's example.
ModelSpec MnistCnn(int outputs) {
  const MaxPool2d pool{.kernel = Square(2), .stride = Square(1)};
  return {28 * 28,
          {Conv2d{.filters = 16,
                  .kernel = Square(8),
                  .stride = Square(2),
                  .padding = Square(3)},
           Activate{Activation::kTanh},
           pool,
           Conv2d{.filters = 32, .kernel = Square(4), .stride = Square(2)},
           Activate{Activation::kTanh},
           pool,
           Flatten{},
           {32, Activation::kTanh},
           {outputs}},
          Loss::kSoftmaxCrossEntropy,
          {1, 28, 28}};
}

struct Named {
  const char* name;
  ModelSpec (*make)(int outputs);
  int outputs;
};
constexpr std::array kPresets = {Named{"mlp", Mlp, 2},
                                 Named{"tabular", Tabular, 2},
                                 Named{"mnist-cnn", MnistCnn, 10}};

}  // namespace

std::vector<std::string> PresetNames() {
  std::vector<std::string> names;
  for (const Named& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

ModelSpec Preset(const std::string& name, int outputs) {
  for (const Named& preset : kPresets)
    if (preset.name == name)
      return preset.make(outputs > 0 ? outputs : preset.outputs);
  throw std::invalid_argument(
      fmt::format("no preset is called '{}' (there are "
                  "{})",
                  name, fmt::join(PresetNames(), ", ")));
}

}  // namespace hearsay::model
