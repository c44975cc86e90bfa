// The parameters of each type of layer, named and shaped as PyTorch's module of
// that kind names and shapes them.
#include <fmt/core.h>

#include <utility>

#include "model/layer_rules.h"

namespace hearsay::model {

namespace {

using Parameters = std::vector<Parameter>;
using Start = Parameter::Start;

struct Fans {
  double in, out;
};

Parameter Weight(std::vector<std::int64_t> shape, const Fans& fans) {
  return {.name = "weight",
          .shape = std::move(shape),
          .fan_in = fans.in,
          .fan_out = fans.out};
}

Parameter Constant(const char* name, int size, Start start) {
  return {.name = name, .shape = {size}, .start = start};
}

// Of a layer without any.
template <typename T>
Parameters ParametersOfKind(const T&, const Shape&) {
  return {};
}

Parameters ParametersOfKind(const Dense& dense, const Shape& in) {
  const int d = in.back();
  return {Weight({dense.units, d},
                 {static_cast<double>(d), static_cast<double>(dense.units)}),
          Constant("bias", dense.units, Start::kZero)};
}

Parameters ParametersOfKind(const Conv2d& conv, const Shape& in) {
  const int channels = in[0] / conv.groups;
  const auto& [height, width] = conv.kernel;
  const double area = static_cast<double>(height) * width;
  return {Weight({conv.filters, channels, height, width},
                 {channels * area, conv.filters / conv.groups * area}),
          Constant("bias", conv.filters, Start::kZero)};
}

Parameters Affine(int size) {
  return {Constant("weight", size, Start::kOne),
          Constant("bias", size, Start::kZero)};
}

Parameters ParametersOfKind(const LayerNorm&, const Shape& in) {
  return Affine(in.back());
}

Parameters ParametersOfKind(const GroupNorm&, const Shape& in) {
  return Affine(in[0]);
}

Parameters ParametersOfKind(const Embedding& embedding, const Shape&) {
  const double units = embedding.units;
  return {Weight({embedding.vocabulary, embedding.units}, {units, units})};
}

Parameters ParametersOfKind(const TableEmbedding& embedding, const Shape&) {
  const double units = embedding.units;
  Parameters all;
  for (std::size_t i = 0; i < embedding.categories.size(); ++i) {
    if (embedding.categories[i] == 0) continue;
    all.push_back(
        Weight({embedding.categories[i], embedding.units}, {units, units}));
    all.back().name = fmt::format("columns.{}.weight", i);
  }
  return all;
}

Parameters ParametersOfKind(const PositionEmbedding&, const Shape& in) {
  const double units = in[1];
  return {Weight({in[0], in[1]}, {units, units})};
}

Parameters ParametersOfKind(const Attention&, const Shape& in) {
  const int d = in[1];
  const double fan = d;
  Parameters all = {Weight({3 * d, d}, {fan, 3 * fan}),
                    Constant("in_proj_bias", 3 * d, Start::kZero),
                    Weight({d, d}, {fan, fan}),
                    Constant("out_proj.bias", d, Start::kZero)};
  all[0].name = "in_proj_weight";
  all[2].name = "out_proj.weight";
  return all;
}

Parameters ParametersOfKind(const Residual& residual, const Shape& in) {
  Parameters all = ParametersAlong(residual.body, in);
  for (Parameter& parameter : all) parameter.name.insert(0, "body.");
  if (residual.projection == Extent{0, 0}) return all;
  for (Parameter& parameter :
       ParametersOfKind(ProjectionOf(residual, in), in)) {
    parameter.name.insert(0, "projection.");
    all.push_back(std::move(parameter));
  }
  return all;
}

}  // namespace

std::uint64_t Parameter::size() const {
  std::uint64_t product = 1;
  for (const std::int64_t extent : shape)
    product *= static_cast<std::uint64_t>(extent);
  return product;
}

std::vector<Parameter> ParametersOf(const Layer& layer, const Shape& in) {
  return std::visit(
      [&](const auto& kind) { return ParametersOfKind(kind, in); }, layer.kind);
}

}  // namespace hearsay::model
