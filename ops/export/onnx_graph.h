// An ONNX graph that grows node by node along one value: each node's first
// input is mostly what the one before it gave, and every node has one output.
// What layers are made of these nodes is in onnx.cc.
//
// Threads: one at a time.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/spec.h"

namespace hearsay::ops {

using OnnxInts = std::vector<std::int64_t>;

class OnnxGraph {
 public:
  // `graph` must outlive this. The value is "input" at first.
  explicit OnnxGraph(onnx::GraphProto& graph) : graph_(graph) {}

  const std::string& value() const { return value_; }
  void set_value(std::string name) { value_ = std::move(name); }
  // Names of nodes begin so.
  void set_prefix(std::string prefix) { prefix_ = std::move(prefix); }

  // Its output is the value from then on.
  onnx::NodeProto& Node(const char* type,
                        const std::vector<std::string>& inputs);
  static void Attribute(onnx::NodeProto& node, const char* name,
                        std::int64_t value);
  static void Attribute(onnx::NodeProto& node, const char* name, double value);
  static void Attribute(onnx::NodeProto& node, const char* name,
                        const OnnxInts& values);

  // Initialisers. One of that name that is there already is not made again.
  void Tensor(const std::string& name, const OnnxInts& shape,
              std::span<const float> values);
  std::string Constant(const std::string& name, double value);
  std::string Integers(const OnnxInts& values);

  // The value, with other extents (0: as it is; -1: the rest), or other order.
  void Reshape(const OnnxInts& extents);
  void Permute(const OnnxInts& order);

  void DeclareInput(const model::Shape& shape);
  // The value is the graph's output.
  void Finish(const model::Shape& shape);

 private:
  bool Has(std::string_view initializer) const;

  onnx::GraphProto& graph_;
  std::string value_ = "input";
  std::string prefix_;
};

}  // namespace hearsay::ops
