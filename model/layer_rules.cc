#include "model/layer_rules.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
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

void NeedSequence(const Shape& in) {
  if (in.size() != 2)
    Refuse(
        "needs a sequence (places, values), not {}: give model.input as "
        "[places, values], or begin with an embedding",
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
  if (in.size() > 2)
    Refuse(
        "needs flat values or a sequence, not {}: put a flatten layer before "
        "it",
        Text(in));
  AtLeast(1, "units", dense.units);
  Shape out = in;
  out.back() = dense.units;
  return out;
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

Shape Out(const LayerNorm&, const Shape& in) {
  if (in.size() > 2)
    Refuse(
        "needs flat values or a sequence, not {}: for an image use group_norm "
        "with groups = 1",
        Text(in));
  return in;
}

Shape Out(const GroupNorm& norm, const Shape& in) {
  NeedImage(in);
  AtLeast(1, "groups", norm.groups);
  if (in[0] % norm.groups != 0)
    Refuse("{} groups must divide the {} channels", norm.groups, in[0]);
  return in;
}

Shape Out(const Dropout& dropout, const Shape& in) {
  if (!(dropout.rate >= 0 && dropout.rate < 1))
    Refuse("rate must be 0 or more and less than 1, not {}", dropout.rate);
  return in;
}

Shape Out(const Embedding& embedding, const Shape& in) {
  if (in.size() != 1)
    Refuse("needs codes, one a column of the data, not {}", Text(in));
  AtLeast(1, "vocabulary", embedding.vocabulary);
  // Codes come as float32.
  if (embedding.vocabulary > 1 << 24)
    Refuse("vocabulary must be {} or less, not {}", 1 << 24,
           embedding.vocabulary);
  AtLeast(1, "units", embedding.units);
  return {in[0], embedding.units};
}

Shape Out(const TableEmbedding& embedding, const Shape& in) {
  const auto& categories = embedding.categories;
  if (in.size() != 1 || categories.size() != static_cast<std::size_t>(in[0]))
    Refuse("has categories for {} columns, but the data are {}",
           categories.size(), Text(in));
  AtLeast(1, "units", embedding.units);
  std::int64_t values = 0;
  for (const int of_column : categories) {
    AtLeast(0, "categories", of_column);
    if (of_column > 1 << 24)
      Refuse("categories must be {} or less, not {}", 1 << 24, of_column);
    values += of_column > 0 ? embedding.units : 1;
  }
  if (std::all_of(categories.begin(), categories.end(),
                  [](int of_column) { return of_column == 0; }))
    Refuse("needs a column of codes; all are numbers");
  if (values > 1 << 30)
    Refuse("{} values an example would come out; at most {} are supported",
           values, 1 << 30);
  return {static_cast<int>(values)};
}

Shape Out(const PositionEmbedding&, const Shape& in) {
  NeedSequence(in);
  return in;
}

Shape Out(const Attention& attention, const Shape& in) {
  NeedSequence(in);
  AtLeast(1, "heads", attention.heads);
  if (in[1] % attention.heads != 0)
    Refuse("{} heads must divide the {} values of a place", attention.heads,
           in[1]);
  if (std::max(3.0 * in[1], 1.0 * in[0] * attention.heads) * in[0] > 0x1p30)
    Refuse("{} heads over {} places are more values than are supported",
           attention.heads, in[0]);
  return in;
}

Shape Out(const SequenceMean&, const Shape& in) {
  NeedSequence(in);
  return {in[1]};
}

Shape Out(const Residual& residual, const Shape& in) {
  const auto is_flatten = [](const Layer& layer) {
    return std::holds_alternative<Flatten>(layer.kind);
  };
  if (std::all_of(residual.body.begin(), residual.body.end(), is_flatten))
    Refuse("needs a layer that computes something in its body");
  const Shape out = ShapesAlong(residual.body, in).back();
  const auto [height, width] = residual.projection;
  if (height == 0 && width == 0) {
    if (out != in)
      Refuse(
          "its body makes {} of {}, which cannot be added to each other: give "
          "it a projection, or a body that keeps the shape",
          Text(out), Text(in));
    return out;
  }
  AtLeast(1, "projection", residual.projection);
  NeedImage(in);
  const Shape beside = OutputShape(ProjectionOf(residual, in), in);
  if (beside != out)
    Refuse("its body makes {} of {}, but its projection {}", Text(out),
           Text(in), Text(beside));
  return out;
}

}  // namespace

std::uint64_t ValuesOf(const Shape& shape) {
  std::uint64_t product = 1;
  for (const int extent : shape) product *= static_cast<std::uint64_t>(extent);
  return product;
}

std::string Text(const Shape& shape) {
  return fmt::format("({})", fmt::join(shape, ", "));
}

Shape OutputShape(const Layer& layer, const Shape& in) {
  return std::visit([&](const auto& kind) { return Out(kind, in); },
                    layer.kind);
}

Conv2d ProjectionOf(const Residual& residual, const Shape& in) {
  return {.filters = ShapesAlong(residual.body, in).back()[0],
          .kernel = {1, 1},
          .stride = residual.projection};
}

}  // namespace hearsay::model
