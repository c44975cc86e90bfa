#include "ops/export/onnx.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <cassert>
#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <vector>

#include "model/layer_rules.h"
#include "ops/export/onnx_graph.h"

namespace hearsay::ops {

namespace {

constexpr int kIrVersion = 8;  // that of ONNX 1.12, the first with opset 17
constexpr int kOpset = 17;
constexpr double kNormEpsilon = 1e-5;  // model/layers.h

// Writes layer after layer, also those in the bodies of others.
class ModelWriter {
 public:
  ModelWriter(const model::ModelSpec& spec, std::span<const float> weights,
              onnx::GraphProto& graph)
      : spec_(spec),
        weights_(weights),
        slices_(model::ParameterSlices(spec)),
        graph_(graph) {}

  void Write() {
    const auto shapes = model::Shapes(spec_);
    graph_.DeclareInput(shapes.front());
    AddAll(spec_.layers, shapes.front());
    graph_.Finish(shapes.back());
  }

 private:
  // Names of parameters are those of an nn.Sequential: a module's number,
  // behind the names of what it is in.
  void AddAll(const std::vector<model::Layer>& layers,
              const model::Shape& input) {
    const std::string outer = prefix_;
    const auto shapes = model::ShapesAlong(layers, input);
    int module = 0;
    for (std::size_t l = 0; l < layers.size(); ++l) {
      prefix_ = fmt::format("{}{}.", outer, module);
      graph_.set_prefix(prefix_);
      std::visit([&](const auto& kind) { Add(kind, shapes[l]); },
                 layers[l].kind);
      module += model::ModulesOf(layers[l]);
    }
    prefix_ = outer;
  }

  // One overload a layer type, with the shape of its input.
  void Add(const model::Dense& dense, const model::Shape& in) {
    if (in.size() == 1) {  // Gemm is for matrices: one place a record.
      auto& node = graph_.Node(
          "Gemm", {graph_.value(), Parameter("weight"), Parameter("bias")});
      OnnxGraph::Attribute(node, "transB", std::int64_t{1});
    } else {
      Project("weight", "bias");
    }
    AddActivation(dense.activation);
  }
  void Add(const model::Conv2d& conv, const model::Shape&) {
    auto& node = graph_.Node(
        "Conv", {graph_.value(), Parameter("weight"), Parameter("bias")});
    AddWindow(node, conv.kernel, conv.stride, conv.padding);
    OnnxGraph::Attribute(node, "dilations",
                         {conv.dilation.height, conv.dilation.width});
    OnnxGraph::Attribute(node, "group", std::int64_t{conv.groups});
  }
  void Add(const model::MaxPool2d& pool, const model::Shape&) {
    AddWindow(graph_.Node("MaxPool", {graph_.value()}), pool.kernel,
              pool.stride, pool.padding);
  }
  void Add(const model::AvgPool2d& pool, const model::Shape&) {
    auto& node = graph_.Node("AveragePool", {graph_.value()});
    AddWindow(node, pool.kernel, pool.stride, pool.padding);
    OnnxGraph::Attribute(node, "count_include_pad", std::int64_t{1});
  }
  void Add(const model::Flatten&, const model::Shape&) {
    OnnxGraph::Attribute(graph_.Node("Flatten", {graph_.value()}), "axis",
                         std::int64_t{1});
  }
  void Add(const model::Activate& layer, const model::Shape&) {
    AddActivation(layer.activation);
  }
  void Add(const model::LayerNorm&, const model::Shape&) {
    auto& node =
        graph_.Node("LayerNormalization",
                    {graph_.value(), Parameter("weight"), Parameter("bias")});
    OnnxGraph::Attribute(node, "axis", std::int64_t{-1});
    OnnxGraph::Attribute(node, "epsilon", kNormEpsilon);
  }
  // Groups as the channels of an instance norm: group norm came with opset 18.
  void Add(const model::GroupNorm& norm, const model::Shape& in) {
    const auto groups = static_cast<std::size_t>(norm.groups);
    const auto of_groups = [&](const char* name, float value) {
      const std::vector<float> values(groups, value);
      const std::string full = fmt::format("{}.{}", name, groups);
      graph_.Tensor(full, {norm.groups}, values);
      return full;
    };
    graph_.Reshape({0, norm.groups, -1});
    auto& node = graph_.Node(
        "InstanceNormalization",
        {graph_.value(), of_groups("norm.one", 1), of_groups("norm.zero", 0)});
    OnnxGraph::Attribute(node, "epsilon", kNormEpsilon);
    graph_.Reshape({0, in[0], in[1], in[2]});
    const std::string normalised = graph_.value();
    const std::string gamma = OfChannels("weight"), beta = OfChannels("bias");
    graph_.Node("Mul", {normalised, gamma});
    graph_.Node("Add", {graph_.value(), beta});
  }
  // In evaluation nothing happens.
  void Add(const model::Dropout&, const model::Shape&) {}
  void Add(const model::Embedding&, const model::Shape&) {
    TakeRows(Parameter("weight"));
  }
  void Add(const model::TableEmbedding& embedding, const model::Shape&) {
    const std::string input = graph_.value();
    std::vector<std::string> columns;
    for (std::size_t i = 0; i < embedding.categories.size(); ++i) {
      const auto column = static_cast<std::int64_t>(i);
      auto& node = graph_.Node("Gather", {input, graph_.Integers({column})});
      OnnxGraph::Attribute(node, "axis", std::int64_t{1});
      if (embedding.categories[i] > 0) {
        TakeRows(Parameter(fmt::format("columns.{}.weight", i)));
        graph_.Reshape({0, -1});
      }
      columns.push_back(graph_.value());
    }
    OnnxGraph::Attribute(graph_.Node("Concat", columns), "axis",
                         std::int64_t{1});
  }
  void Add(const model::PositionEmbedding&, const model::Shape&) {
    graph_.Node("Add", {graph_.value(), Parameter("weight")});
  }
  void Add(const model::Attention& attention, const model::Shape& in) {
    const std::int64_t T = in[0], d = in[1], h = attention.heads, e = d / h;
    Project("in_proj_weight", "in_proj_bias");
    // (batch, T, 3, h, e) to (3, batch, h, T, e)
    graph_.Reshape({0, T, 3, h, e});
    graph_.Permute({2, 0, 3, 1, 4});
    const std::string all = graph_.value();
    const auto part = [&](std::int64_t which) {
      auto& node = graph_.Node("Gather", {all, graph_.Integers({which})});
      OnnxGraph::Attribute(node, "axis", std::int64_t{0});
      graph_.Reshape({-1, h, T, e});
      return graph_.value();
    };
    const std::string q = part(0), v = part(2);
    part(1);
    graph_.Permute({0, 1, 3, 2});
    graph_.Node("MatMul", {q, graph_.value()});
    graph_.Node("Mul",
                {graph_.value(),
                 graph_.Constant(fmt::format("attention.scale.{}", e),
                                 1 / std::sqrt(static_cast<double>(e)))});
    if (attention.mask == model::Mask::kCausal)
      graph_.Node("Add", {graph_.value(), CausalMask(T)});
    OnnxGraph::Attribute(graph_.Node("Softmax", {graph_.value()}), "axis",
                         std::int64_t{-1});
    graph_.Node("MatMul", {graph_.value(), v});
    graph_.Permute({0, 2, 1, 3});
    graph_.Reshape({0, T, d});
    Project("out_proj.weight", "out_proj.bias");
  }
  void Add(const model::SequenceMean&, const model::Shape&) {
    auto& node = graph_.Node("ReduceMean", {graph_.value()});
    OnnxGraph::Attribute(node, "axes", OnnxInts{1});
    OnnxGraph::Attribute(node, "keepdims", std::int64_t{0});
  }
  void Add(const model::Residual& residual, const model::Shape& in) {
    const std::string outer = prefix_, input = graph_.value();
    prefix_ = outer + "body.";
    AddAll(residual.body, in);
    const std::string body = graph_.value();
    graph_.set_value(input);
    if (residual.projection != model::Extent{0, 0}) {
      prefix_ = outer + "projection.";
      Add(model::ProjectionOf(residual, in), in);
    }
    prefix_ = outer;
    graph_.Node("Add", {body, graph_.value()});
  }

  void AddActivation(model::Activation activation) {
    switch (activation) {
      case model::Activation::kNone:
        return;
      case model::Activation::kRelu:
        graph_.Node("Relu", {graph_.value()});
        return;
      case model::Activation::kTanh:
        graph_.Node("Tanh", {graph_.value()});
        return;
      case model::Activation::kSigmoid:
        graph_.Node("Sigmoid", {graph_.value()});
        return;
      case model::Activation::kGelu:
        AddGelu();
        return;
    }
  }

  // x (1 + erf(x / sqrt 2)) / 2: opset 17 has no operator of its own.
  void AddGelu() {
    const std::string x = graph_.value();
    graph_.Node("Mul",
                {x, graph_.Constant("gelu.scale", std::numbers::sqrt2 / 2)});
    graph_.Node("Erf", {graph_.value()});
    graph_.Node("Add", {graph_.value(), graph_.Constant("gelu.one", 1)});
    graph_.Node("Mul", {graph_.value(), x});
    graph_.Node("Mul", {graph_.value(), graph_.Constant("gelu.half", 0.5)});
  }

  // value weight^T + bias, at every place of a sequence.
  void Project(const std::string& weight, const std::string& bias) {
    const std::string in = graph_.value();
    graph_.set_value(Parameter(weight));
    graph_.Permute({1, 0});
    graph_.Node("MatMul", {in, graph_.value()});
    graph_.Node("Add", {graph_.value(), Parameter(bias)});
  }

  // Of a table, by codes: whole numbers, which come as floats.
  void TakeRows(const std::string& table) {
    OnnxGraph::Attribute(graph_.Node("Cast", {graph_.value()}), "to",
                         std::int64_t{onnx::TensorProto::INT64});
    OnnxGraph::Attribute(graph_.Node("Gather", {table, graph_.value()}), "axis",
                         std::int64_t{0});
  }

  // A parameter (C) as (C, 1, 1).
  std::string OfChannels(const std::string& name) {
    graph_.set_value(Parameter(name));
    graph_.Reshape({-1, 1, 1});
    return graph_.value();
  }

  // (T, T): nothing of a place is seen by one before it.
  std::string CausalMask(std::int64_t T) {
    const auto places = static_cast<std::size_t>(T);
    std::vector<float> mask(places * places);
    for (std::size_t t = 0; t < places; ++t)
      for (std::size_t s = t + 1; s < places; ++s)
        mask[t * places + s] = -std::numeric_limits<float>::infinity();
    const std::string name = fmt::format("attention.causal.{}", T);
    graph_.Tensor(name, {T, T}, mask);
    return name;
  }

  static void AddWindow(onnx::NodeProto& node, model::Extent kernel,
                        model::Extent stride, model::Extent padding) {
    OnnxGraph::Attribute(node, "kernel_shape", {kernel.height, kernel.width});
    OnnxGraph::Attribute(node, "strides", {stride.height, stride.width});
    OnnxGraph::Attribute(
        node, "pads",
        {padding.height, padding.width, padding.height, padding.width});
  }

  // The initialiser of this layer's parameter of that name.
  std::string Parameter(const std::string& name) {
    for (const auto& slice : slices_)
      if (slice.name == prefix_ + name) {
        graph_.Tensor(slice.name, {slice.shape.begin(), slice.shape.end()},
                      weights_.subspan(slice.offset, slice.size()));
        return slice.name;
      }
    assert(false && "a layer without that parameter");
    return {};
  }

  const model::ModelSpec& spec_;
  const std::span<const float> weights_;
  const std::vector<model::ParameterSlice> slices_;
  OnnxGraph graph_;
  std::string prefix_;
};

}  // namespace

std::string EncodeOnnx(const model::ModelSpec& spec,
                       std::span<const float> weights) {
  assert(weights.size() == model::ParameterCount(spec));
  // Beside the weights there are some kilobytes.
  constexpr std::size_t kMostBytes =
      std::numeric_limits<int>::max() - (std::size_t{16} << 20);
  if (weights.size_bytes() > kMostBytes)
    throw std::invalid_argument(
        "the weights take more than the 2 GiB that one ONNX file may have; "
        "export to safetensors");
  onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("hearsay");
  model.add_opset_import()->set_version(kOpset);
  const auto add = [&](const char* key, const std::string& value) {
    auto& entry = *model.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  };
  add("hearsay.model", model::Canonical(spec));
  add("hearsay.loss", model::Word(spec.loss));
  model.mutable_graph()->set_name("hearsay");
  ModelWriter(spec, weights, *model.mutable_graph()).Write();
  return model.SerializeAsString();
}

}  // namespace hearsay::ops
