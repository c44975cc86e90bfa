// The layers that a model may be made of, as data, and one table of their
// fields: from it follow the canonical text (model/canonical.cc), the keys of
// the configuration file (daemon/model_config.cc) and what is printed.
//
// Shapes of one example: (I) flat; (T, d) a sequence of T places; (C, H, W) an
// image, C channels of H rows, as PyTorch's.
#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace hearsay::model {

// The places that a place of a sequence sees: all, or itself and those before.
enum class Mask { kNone, kCausal };

// kGelu is the exact one, x Phi(x), not the tanh approximation.
enum class Activation { kNone, kRelu, kTanh, kGelu, kSigmoid };

struct Extent {
  int height = 1;
  int width = 1;
  bool operator==(const Extent&) const = default;
};

// Fully connected: out = activation(in * weight^T + bias); (I) to (units), or
// (T, d) to (T, units), the same at every place.
struct Dense {
  int units = 0;
  Activation activation = Activation::kNone;
  bool operator==(const Dense&) const = default;
};

// (C, H, W) to (filters, H', W'), with a bias, as nn.Conv2d.
struct Conv2d {
  int filters = 0;
  Extent kernel{0, 0};
  Extent stride{1, 1};
  Extent padding{0, 0};  // with zeros, on both sides
  Extent dilation{1, 1};
  int groups = 1;
  bool operator==(const Conv2d&) const = default;
};

// (C, H, W) to (C, H', W'), as nn.MaxPool2d: padding never wins.
struct MaxPool2d {
  Extent kernel{0, 0};
  Extent stride{0, 0};
  Extent padding{0, 0};
  bool operator==(const MaxPool2d&) const = default;
};

// As nn.AvgPool2d: padding counts as zeros in the mean.
struct AvgPool2d {
  Extent kernel{0, 0};
  Extent stride{0, 0};
  Extent padding{0, 0};
  bool operator==(const AvgPool2d&) const = default;
};

// Any shape to (I), row-major; costs nothing.
struct Flatten {
  bool operator==(const Flatten&) const = default;
};

// An activation as a layer of its own; behind a dense layer it must be that
// layer's, so that there is one way to say it.
struct Activate {
  Activation activation = Activation::kNone;
  bool operator==(const Activate&) const = default;
};

// As nn.LayerNorm over the last dimension, with epsilon 1e-5; (d) or (T, d),
// which it keeps.
struct LayerNorm {
  bool operator==(const LayerNorm&) const = default;
};

// As nn.GroupNorm, with epsilon 1e-5; (C, H, W), which it keeps.
struct GroupNorm {
  int groups = 0;
  bool operator==(const GroupNorm&) const = default;
};

// As nn.Dropout: in training a value is 0 with probability `rate`, and else
// divided by 1 - rate; in evaluation nothing happens.
struct Dropout {
  double rate = 0;
  bool operator==(const Dropout&) const = default;
};

// The first layer of a model: T codes, each a whole number below `vocabulary`,
// to (T, units), each the row of a table, as nn.Embedding.
struct Embedding {
  int vocabulary = 0;
  int units = 0;
  bool operator==(const Embedding&) const = default;
};

// The first layer of a model on a table whose columns are codes and numbers:
// for each column its number of categories, 0 for a number. (columns) to (the
// sum, over the columns, of `units` or 1): codes by a table each, numbers as
// they are. As a module with the member `columns`, an nn.ModuleDict.
struct TableEmbedding {
  std::vector<int> categories;
  int units = 0;
  bool operator==(const TableEmbedding&) const = default;
};

// Adds a learned vector to each place: (T, d), which it keeps.
struct PositionEmbedding {
  bool operator==(const PositionEmbedding&) const = default;
};

// Of a sequence to itself, as nn.MultiheadAttention(d, heads): (T, d), which it
// keeps.
struct Attention {
  int heads = 0;
  Mask mask = Mask::kNone;
  bool operator==(const Attention&) const = default;
};

// (T, d) to (d): the mean over the places.
struct SequenceMean {
  bool operator==(const SequenceMean&) const = default;
};

struct Layer;

// out = the layers of the body, one after the other, of in, plus in itself; or
// plus a convolution of in, 1x1 with this stride and a bias, to the channels of
// the body, if `projection` is not 0. As a module with the members `body`, an
// nn.Sequential, and `projection`, an nn.Conv2d.
struct Residual {
  std::vector<Layer> body;
  Extent projection{0, 0};
  bool operator==(const Residual& other) const;
};

struct Layer {
  using Kind =
      std::variant<Dense, Conv2d, MaxPool2d, AvgPool2d, Flatten, Activate,
                   LayerNorm, GroupNorm, Dropout, Residual, Embedding,
                   TableEmbedding, PositionEmbedding, Attention, SequenceMean>;
  Kind kind;

  // The commonest layer, by its units alone: {64, Activation::kTanh}.
  Layer(int units, Activation activation = Activation::kNone)
      : kind(Dense{units, activation}) {}
  template <typename T>
  requires std::is_constructible_v<Kind, T> Layer(T layer)
      : kind(std::move(layer)) {}

  // Requires: it is one.
  const Dense& dense() const { return std::get<Dense>(kind); }
  Dense& dense() { return std::get<Dense>(kind); }
  bool operator==(const Layer&) const = default;
};

// Its name in the configuration file: "dense", "conv2d", "relu"...
std::string TypeName(const Layer& layer);
// A layer of that type with the defaults of its fields. Throws:
// std::invalid_argument that lists the types, or says why there is none.
Layer LayerOfType(const std::string& type);
std::vector<std::string> LayerTypes();

// Whether what goes into it is codes: an embedding of either
// kind.
bool TakesCodes(const Layer& layer);

// The layers inside a layer that has some, such as a residual block, which no
// field of VisitFields is; else nullptr.
const std::vector<Layer>* BodyOf(const Layer& layer);
std::vector<Layer>* BodyOf(Layer& layer);
// Bodies inside bodies, which a model's description may not exceed.
inline constexpr int kDeepestBody = 4;

enum class Field { kRequired, kOptional };

// Calls visit(name, field, Field) for each field of `layer`, a T or const T, in
// the order of the canonical text.
template <typename T, typename Visit>
void VisitFields(T& layer, const Visit& visit) {
  using L = std::remove_const_t<T>;
  if constexpr (std::is_same_v<L, Dense>) {
    visit("units", layer.units, Field::kRequired);
    visit("activation", layer.activation, Field::kOptional);
  } else if constexpr (std::is_same_v<L, Conv2d>) {
    visit("filters", layer.filters, Field::kRequired);
    visit("kernel", layer.kernel, Field::kRequired);
    visit("stride", layer.stride, Field::kOptional);
    visit("padding", layer.padding, Field::kOptional);
    visit("dilation", layer.dilation, Field::kOptional);
    visit("groups", layer.groups, Field::kOptional);
  } else if constexpr (std::is_same_v<L, MaxPool2d> ||
                       std::is_same_v<L, AvgPool2d>) {
    visit("kernel", layer.kernel, Field::kRequired);
    visit("stride", layer.stride, Field::kOptional);
    visit("padding", layer.padding, Field::kOptional);
  } else if constexpr (std::is_same_v<L, GroupNorm>) {
    visit("groups", layer.groups, Field::kRequired);
  } else if constexpr (std::is_same_v<L, Dropout>) {
    visit("rate", layer.rate, Field::kRequired);
  } else if constexpr (std::is_same_v<L, Embedding>) {
    visit("vocabulary", layer.vocabulary, Field::kRequired);
    visit("units", layer.units, Field::kRequired);
  } else if constexpr (std::is_same_v<L, TableEmbedding>) {
    visit("categories", layer.categories, Field::kOptional);
    visit("units", layer.units, Field::kRequired);
  } else if constexpr (std::is_same_v<L, Attention>) {
    visit("heads", layer.heads, Field::kRequired);
    visit("mask", layer.mask, Field::kOptional);
  } else if constexpr (std::is_same_v<L, Residual>) {
    visit("projection", layer.projection, Field::kOptional);
  }
}

}  // namespace hearsay::model
