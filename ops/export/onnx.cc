#include "ops/export/onnx.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <bit>
#include <cassert>
#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <vector>

namespace hearsay::ops {

namespace {

constexpr int kIrVersion = 8;  // that of ONNX 1.12, the first with opset 17
constexpr int kOpset = 17;

// Grows the graph layer by layer; every node has one output.
class GraphWriter {
 public:
  GraphWriter(const model::ModelSpec& spec, std::span<const float> weights,
              onnx::GraphProto& graph)
      : spec_(spec),
        weights_(weights),
        shapes_(model::Shapes(spec)),
        slices_(model::ParameterSlices(spec)),
        graph_(graph) {}

  void Write() {
    graph_.set_name("hearsay");
    AddValue("input", shapes_.front(), *graph_.add_input());
    AddValue("output", shapes_.back(), *graph_.add_output());
    for (layer_ = 0; layer_ < spec_.layers.size(); ++layer_)
      std::visit([this](const auto& kind) { Add(kind); },
                 spec_.layers[layer_].kind);
    // The last node's output is the graph's.
    graph_.mutable_node(graph_.node_size() - 1)->set_output(0, "output");
  }

 private:
  // One overload a layer type.
  void Add(const model::Dense& dense) {
    // Gemm is for matrices: one place a record.
    if (shapes_[layer_].size() != 1) Refuse();
    auto& node = Node("Gemm", {value_, Parameter("weight"), Parameter("bias")});
    Attribute(node, "transB", 1);
    AddActivation(dense.activation);
  }
  void Add(const model::Conv2d& conv) {
    auto& node = Node("Conv", {value_, Parameter("weight"), Parameter("bias")});
    AddWindow(node, conv.kernel, conv.stride, conv.padding);
    Attribute(node, "dilations", {conv.dilation.height, conv.dilation.width});
    Attribute(node, "group", conv.groups);
  }
  void Add(const model::MaxPool2d& pool) {
    AddWindow(Node("MaxPool", {value_}), pool.kernel, pool.stride,
              pool.padding);
  }
  void Add(const model::AvgPool2d& pool) {
    auto& node = Node("AveragePool", {value_});
    AddWindow(node, pool.kernel, pool.stride, pool.padding);
    Attribute(node, "count_include_pad", 1);
  }
  void Add(const model::Flatten&) {
    Attribute(Node("Flatten", {value_}), "axis", 1);
  }
  void Add(const model::Activate& layer) { AddActivation(layer.activation); }
  template <typename Other>
  void Add(const Other&) {
    Refuse();
  }

  [[noreturn]] void Refuse() const {
    throw std::invalid_argument(
        fmt::format("layer {} ({}): ONNX export does not know it; export to "
                    "safetensors",
                    layer_, TypeName(spec_.layers[layer_])));
  }

  void AddActivation(model::Activation activation) {
    switch (activation) {
      case model::Activation::kNone:
        return;
      case model::Activation::kRelu:
        Node("Relu", {value_});
        return;
      case model::Activation::kTanh:
        Node("Tanh", {value_});
        return;
      case model::Activation::kSigmoid:
        Node("Sigmoid", {value_});
        return;
      case model::Activation::kGelu:
        AddGelu();
        return;
    }
  }

  // x (1 + erf(x / sqrt 2)) / 2: opset 17 has no operator of its own.
  void AddGelu() {
    const std::string x = value_;
    Node("Mul", {x, Constant("gelu.scale", std::numbers::sqrt2 / 2)});
    Node("Erf", {value_});
    Node("Add", {value_, Constant("gelu.one", 1)});
    Node("Mul", {value_, x});
    Node("Mul", {value_, Constant("gelu.half", 0.5)});
  }

  onnx::NodeProto& Node(const char* type,
                        const std::vector<std::string>& inputs) {
    auto& node = *graph_.add_node();
    node.set_op_type(type);
    node.set_name(fmt::format("{}.{}.{}", layer_, type, graph_.node_size()));
    for (const auto& input : inputs) node.add_input(input);
    value_ = fmt::format("value.{}", graph_.node_size());
    node.add_output(value_);
    return node;
  }

  static void Attribute(onnx::NodeProto& node, const char* name,
                        std::int64_t value) {
    auto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::INT);
    attribute.set_i(value);
  }
  static void Attribute(onnx::NodeProto& node, const char* name,
                        const std::vector<std::int64_t>& values) {
    auto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::INTS);
    for (const auto value : values) attribute.add_ints(value);
  }
  static void AddWindow(onnx::NodeProto& node, model::Extent kernel,
                        model::Extent stride, model::Extent padding) {
    Attribute(node, "kernel_shape", {kernel.height, kernel.width});
    Attribute(node, "strides", {stride.height, stride.width});
    Attribute(node, "pads",
              {padding.height, padding.width, padding.height, padding.width});
  }

  onnx::TensorProto& Tensor(const std::string& name,
                            std::span<const float> values) {
    static_assert(std::endian::native == std::endian::little);
    auto& tensor = *graph_.add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    tensor.set_raw_data(values.data(), values.size_bytes());
    return tensor;
  }
  // The initialiser of this layer's parameter of that name.
  std::string Parameter(const std::string& name) {
    for (const auto& slice : slices_) {
      if (slice.layer != layer_ || !slice.name.ends_with("." + name)) continue;
      auto& tensor =
          Tensor(slice.name, weights_.subspan(slice.offset, slice.size()));
      for (const auto extent : slice.shape) tensor.add_dims(extent);
      return slice.name;
    }
    assert(false && "a layer without that parameter");
    return {};
  }
  std::string Constant(const std::string& name, double value) {
    for (const auto& tensor : graph_.initializer())
      if (tensor.name() == name) return name;
    const auto single = static_cast<float>(value);
    Tensor(name, {&single, 1});
    return name;
  }

  static void AddValue(const char* name, const model::Shape& shape,
                       onnx::ValueInfoProto& value) {
    value.set_name(name);
    auto& type = *value.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto::FLOAT);
    type.mutable_shape()->add_dim()->set_dim_param("batch");
    for (const int extent : shape)
      type.mutable_shape()->add_dim()->set_dim_value(extent);
  }

  const model::ModelSpec& spec_;
  const std::span<const float> weights_;
  const std::vector<model::Shape> shapes_;
  const std::vector<model::ParameterSlice> slices_;
  onnx::GraphProto& graph_;
  std::string value_ = "input";  // the last node's output
  std::size_t layer_ = 0;
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
  GraphWriter(spec, weights, *model.mutable_graph()).Write();
  return model.SerializeAsString();
}

}  // namespace hearsay::ops
