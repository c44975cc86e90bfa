#include "model/layer_rules.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace hearsay::model {

namespace {

template <typename... Arguments>
[[noreturn]] void Refuse(fmt::format_string<Arguments...> text,
                         Arguments&&... arguments) {
  throw std::invalid_argument(
      fmt::format(text, std::forward<Arguments>(arguments)...));
}

void AtLeast(int low, const char* name, int value) {
  if (value < low) Refuse("{} must be {} or more, not {}", name, low, value);
}

void AtLeast(int low, const char* name, Extent value) {
  AtLeast(low, name, std::min(value.height, value.width));
}

// Far beyond any use, and small enough that no sum of them overflows.
void AtMost(const char* name, Extent value) {
  constexpr int kMost = 1 << 15;
  const int larger = std::max(value.height, value.width);
  if (larger > kMost)
    Refuse("{} must be {} or less, not {}", name, kMost, larger);
}

void NeedImage(const Shape& in) {
  if (in.size() != 3)
    Refuse(
        "needs an image (channels, height, width), not {}: give model.input "
        "as [channels, height, width]",
        Text(in));
}

// Of one side of a window that moves over `size` values.
int Places(const char* side, int size, int kernel, int stride, int padding,
           int dilation) {
  const std::int64_t padded = size + 2 * std::int64_t{padding};
  const std::int64_t window = std::int64_t{dilation} * (kernel - 1) + 1;
  if (window > padded)
    Refuse("its kernel covers {} in {}, but there are {} with padding", window,
           side, padded);
  return static_cast<int>((padded - window) / stride) + 1;
}

struct Window {
  Extent kernel, stride, padding, dilation;
};

Shape Slide(const Window& window, const Shape& in, int channels) {
  NeedImage(in);
  AtLeast(1, "kernel", window.kernel);
  AtLeast(1, "stride", window.stride);
  AtLeast(0, "padding", window.padding);
  AtLeast(1, "dilation", window.dilation);
  AtMost("kernel", window.kernel);
  AtMost("stride", window.stride);
  AtMost("padding", window.padding);
  AtMost("dilation", window.dilation);
  const auto& [kernel, stride, padding, dilation] = window;
  return {channels,
          Places("height", in[1], kernel.height, stride.height, padding.height,
                 dilation.height),
          Places("width", in[2], kernel.width, stride.width, padding.width,
                 dilation.width)};
}

Shape Out(const Dense& dense, const Shape& in) {
  if (in.size() != 1)
    Refuse("needs flat values, not {}: put a flatten layer before it",
           Text(in));
  AtLeast(1, "units", dense.units);
  return {dense.units};
}

Shape Out(const Conv2d& conv, const Shape& in) {
  NeedImage(in);
  AtLeast(1, "filters", conv.filters);
  AtLeast(1, "groups", conv.groups);
  if (in[0] % conv.groups != 0 || conv.filters % conv.groups != 0)
    Refuse("{} groups must divide the {} channels and the {} filters",
           conv.groups, in[0], conv.filters);
  return Slide({conv.kernel, conv.stride, conv.padding, conv.dilation}, in,
               conv.filters);
}

template <typename Pool>
Shape OutOfPool(const Pool& pool, const Shape& in) {
  NeedImage(in);
  // More would be windows of nothing but padding; PyTorch refuses them too.
  if (pool.padding.height > pool.kernel.height / 2 ||
      pool.padding.width > pool.kernel.width / 2)
    Refuse("padding must be at most half of the kernel");
  return Slide({pool.kernel, pool.stride, pool.padding, {}}, in, in[0]);
}

Shape Out(const MaxPool2d& pool, const Shape& in) {
  return OutOfPool(pool, in);
}
Shape Out(const AvgPool2d& pool, const Shape& in) {
  return OutOfPool(pool, in);
}

Shape Out(const Flatten&, const Shape& in) {
  return {static_cast<int>(ValuesOf(in))};
}

Shape Out(const Activate& layer, const Shape& in) {
  if (layer.activation == Activation::kNone) Refuse("is no activation");
  return in;
}

using Parameters = std::vector<Parameter>;

template <typename T>
Parameters ParametersOfKind(const T&, const Shape&) {
  return {};
}

Parameters ParametersOfKind(const Dense& dense, const Shape& in) {
  const double inputs = in.back();
  return {{.name = "weight",
           .shape = {dense.units, in.back()},
           .fan_in = inputs,
           .fan_out = static_cast<double>(dense.units)},
          {.name = "bias",
           .shape = {dense.units},
           .start = Parameter::Start::kZero}};
}

Parameters ParametersOfKind(const Conv2d& conv, const Shape& in) {
  const int channels = in[0] / conv.groups;
  const double area =
      static_cast<double>(conv.kernel.height) * conv.kernel.width;
  return {
      {.name = "weight",
       .shape = {conv.filters, channels, conv.kernel.height, conv.kernel.width},
       .fan_in = channels * area,
       .fan_out = conv.filters / conv.groups * area},
      {.name = "bias",
       .shape = {conv.filters},
       .start = Parameter::Start::kZero}};
}

const std::array<Layer, 5> kTypes = {Dense{}, Conv2d{}, MaxPool2d{},
                                     AvgPool2d{}, Flatten{}};
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
};

}  // namespace

std::uint64_t ValuesOf(const Shape& shape) {
  std::uint64_t product = 1;
  for (const int extent : shape) product *= static_cast<std::uint64_t>(extent);
  return product;
}

std::string Text(const Shape& shape) {
  return fmt::format("({})", fmt::join(shape, ", "));
}

std::uint64_t Parameter::size() const {
  std::uint64_t product = 1;
  for (const std::int64_t extent : shape)
    product *= static_cast<std::uint64_t>(extent);
  return product;
}

Shape OutputShape(const Layer& layer, const Shape& in) {
  return std::visit([&](const auto& kind) { return Out(kind, in); },
                    layer.kind);
}

std::vector<Parameter> ParametersOf(const Layer& layer, const Shape& in) {
  return std::visit(
      [&](const auto& kind) { return ParametersOfKind(kind, in); }, layer.kind);
}

Activation ActivationAfter(const std::vector<Layer>& layers, std::size_t at) {
  if (const auto* dense = std::get_if<Dense>(&layers[at].kind);
      dense != nullptr && dense->activation != Activation::kNone)
    return dense->activation;
  if (at + 1 == layers.size()) return Activation::kNone;
  const auto* next = std::get_if<Activate>(&layers[at + 1].kind);
  return next == nullptr ? Activation::kNone : next->activation;
}

std::string TypeName(const Layer& layer) {
  return std::visit(NameOf(), layer.kind);
}

std::vector<std::string> LayerTypes() {
  std::vector<std::string> types;
  for (const Layer& layer : kTypes) types.push_back(TypeName(layer));
  for (const Activation activation : kActivationLayers)
    types.push_back(Word(activation));
  return types;
}

Layer LayerOfType(const std::string& type) {
  for (const Layer& layer : kTypes)
    if (TypeName(layer) == type) return layer;
  for (const Activation activation : kActivationLayers)
    if (Word(activation) == type) return Activate{activation};
  if (type.starts_with("batch_norm"))
    throw std::invalid_argument(
        "batch_norm is not offered: it computes every example from the whole "
        "batch, so that no example has a gradient of its own to clip and "
        "nothing bounds what one record can change; use group_norm or "
        "layer_norm");
  Refuse("unknown layer type '{}' (allowed: {})", type,
         fmt::join(LayerTypes(), ", "));
}

}  // namespace hearsay::model
