#include "ops/export/onnx_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace hearsay::ops {

namespace {

void Declare(const char* name, const model::Shape& shape,
             onnx::ValueInfoProto& value) {
  value.set_name(name);
  auto& type = *value.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto::FLOAT);
  type.mutable_shape()->add_dim()->set_dim_param("batch");
  for (const int extent : shape)
    type.mutable_shape()->add_dim()->set_dim_value(extent);
}

onnx::AttributeProto& AttributeOf(onnx::NodeProto& node, const char* name,
                                  onnx::AttributeProto::AttributeType type) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

}  // namespace

onnx::NodeProto& OnnxGraph::Node(const char* type,
                                 const std::vector<std::string>& inputs) {
  auto& node = *graph_.add_node();
  node.set_op_type(type);
  node.set_name(fmt::format("{}{}.{}", prefix_, type, graph_.node_size()));
  for (const auto& input : inputs) node.add_input(input);
  value_ = fmt::format("value.{}", graph_.node_size());
  node.add_output(value_);
  return node;
}

void OnnxGraph::Attribute(onnx::NodeProto& node, const char* name,
                          std::int64_t value) {
  AttributeOf(node, name, onnx::AttributeProto::INT).set_i(value);
}

void OnnxGraph::Attribute(onnx::NodeProto& node, const char* name,
                          double value) {
  AttributeOf(node, name, onnx::AttributeProto::FLOAT)
      .set_f(static_cast<float>(value));
}

void OnnxGraph::Attribute(onnx::NodeProto& node, const char* name,
                          const OnnxInts& values) {
  auto& attribute = AttributeOf(node, name, onnx::AttributeProto::INTS);
  for (const auto value : values) attribute.add_ints(value);
}

bool OnnxGraph::Has(std::string_view initializer) const {
  return std::ranges::any_of(graph_.initializer(), [&](const auto& tensor) {
    return tensor.name() == initializer;
  });
}

void OnnxGraph::Tensor(const std::string& name, const OnnxInts& shape,
                       std::span<const float> values) {
  static_assert(std::endian::native == std::endian::little);
  if (Has(name)) return;
  auto& tensor = *graph_.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.set_raw_data(values.data(), values.size_bytes());
  for (const auto extent : shape) tensor.add_dims(extent);
}

std::string OnnxGraph::Constant(const std::string& name, double value) {
  const auto single = static_cast<float>(value);
  Tensor(name, {}, {&single, 1});
  return name;
}

std::string OnnxGraph::Integers(const OnnxInts& values) {
  const std::string name = fmt::format("integers.{}", fmt::join(values, "."));
  if (Has(name)) return name;
  auto& tensor = *graph_.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::INT64);
  tensor.set_raw_data(values.data(), values.size() * sizeof values[0]);
  tensor.add_dims(static_cast<std::int64_t>(values.size()));
  return name;
}

void OnnxGraph::Reshape(const OnnxInts& extents) {
  Node("Reshape", {value_, Integers(extents)});
}

void OnnxGraph::Permute(const OnnxInts& order) {
  Attribute(Node("Transpose", {value_}), "perm", order);
}

void OnnxGraph::DeclareInput(const model::Shape& shape) {
  Declare("input", shape, *graph_.add_input());
}

void OnnxGraph::Finish(const model::Shape& shape) {
  // A model of nothing but dropout, say.
  if (graph_.node_size() == 0 ||
      graph_.node(graph_.node_size() - 1).output(0) != value_)
    Node("Identity", {value_});
  graph_.mutable_node(graph_.node_size() - 1)->set_output(0, "output");
  Declare("output", shape, *graph_.add_output());
}

}  // namespace hearsay::ops
