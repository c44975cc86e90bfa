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

Conv2d Conv3x3(int filters, int stride = 1) {
  return {.filters = filters,
          .kernel = Square(3),
          .stride = Square(stride),
          .padding = Square(1)};
}

// Zagoruyko and Komodakis 2016 (arXiv:1605.07146), 16 layers, 4 times as wide,
// for images of CIFAR-10; with group norm, of 16 groups, in the place of batch
// norm, as De et al. 2022 (arXiv:2204.13650) trained it privately.
ModelSpec WideResnet(int outputs) {
  constexpr int kWide = 4;
  constexpr int kBlocks = 2;  // of each width
  const GroupNorm norm{16};
  const Activate relu{Activation::kRelu};
  ModelSpec spec{
      3 * 32 * 32, {Conv3x3(16)}, Loss::kSoftmaxCrossEntropy, {3, 32, 32}};
  auto& layers = spec.layers;
  for (const int width : {16 * kWide, 32 * kWide, 64 * kWide}) {
    const int stride = width == 16 * kWide ? 1 : 2;
    // Where the width changes, the projection starts behind norm and relu.
    layers.insert(layers.end(), {norm, relu});
    layers.push_back(
        Residual{.body = {Conv3x3(width, stride), norm, relu, Conv3x3(width)},
                 .projection = Square(stride)});
    for (int block = 1; block < kBlocks; ++block)
      layers.push_back(Residual{
          .body = {norm, relu, Conv3x3(width), norm, relu, Conv3x3(width)}});
  }
  layers.insert(layers.end(),
                {norm,
                 relu,
                 AvgPool2d{.kernel = Square(8), .stride = Square(8)},
                 Flatten{},
                 {outputs}});
  return spec;
}

// Codes, such as letters, of a sequence of any length; each place sees itself
// and those before it.
ModelSpec TinyTransformer(int outputs) {
  constexpr int kUnits = 64;
  constexpr int kBlocks = 2;
  ModelSpec spec{
      0,
      {Embedding{.vocabulary = 256, .units = kUnits}, PositionEmbedding{}},
      Loss::kSoftmaxCrossEntropy};
  for (int block = 0; block < kBlocks; ++block) {
    spec.layers.push_back(Residual{
        .body = {LayerNorm{}, Attention{.heads = 4, .mask = Mask::kCausal}}});
    spec.layers.push_back(Residual{
        .body = {LayerNorm{}, {4 * kUnits, Activation::kGelu}, {kUnits}}});
  }
  spec.layers.insert(spec.layers.end(),
                     {LayerNorm{}, SequenceMean{}, {outputs}});
  return spec;
}

struct Named {
  const char* name;
  ModelSpec (*make)(int outputs);
  int outputs;
};
constexpr std::array kPresets = {
    Named{"mlp", Mlp, 2}, Named{"tabular", Tabular, 2},
    Named{"mnist-cnn", MnistCnn, 10}, Named{"wide-resnet-16-4", WideResnet, 10},
    Named{"tiny-transformer", TinyTransformer, 2}};

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
