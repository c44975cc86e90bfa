// The oracle of the ONNX tests: runs a graph by the words of the operators'
// specification, on one example, in double. It knows no model of ours.
#pragma once

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace hearsay::tests {

struct OnnxTensor {
  std::vector<std::int64_t> shape;
  std::vector<double> values;
};

class OnnxInterpreter {
 public:
  explicit OnnxInterpreter(const onnx::GraphProto& graph) : graph_(graph) {
    for (const auto& initializer : graph.initializer()) {
      std::vector<float> floats(initializer.raw_data().size() / sizeof(float));
      std::memcpy(floats.data(), initializer.raw_data().data(),
                  initializer.raw_data().size());
      values_[initializer.name()] = {
          {initializer.dims().begin(), initializer.dims().end()},
          {floats.begin(), floats.end()}};
    }
  }

  OnnxTensor Run(const OnnxTensor& input) {
    values_[graph_.input(0).name()] = input;
    for (const auto& node : graph_.node())
      values_[node.output(0)] = Compute(node);
    return values_.at(graph_.output(0).name());
  }

 private:
  using Ints = std::vector<std::int64_t>;

  static Ints Integers(const onnx::NodeProto& node, const std::string& name) {
    for (const auto& attribute : node.attribute())
      if (attribute.name() == name)
        return attribute.type() == onnx::AttributeProto::INT
                   ? Ints{attribute.i()}
                   : Ints(attribute.ints().begin(), attribute.ints().end());
    throw std::runtime_error(node.op_type() + " has no " + name);
  }

  const OnnxTensor& Input(const onnx::NodeProto& node, int i) const {
    return values_.at(node.input(i));
  }

  OnnxTensor Compute(const onnx::NodeProto& node) const {
    const OnnxTensor& x = Input(node, 0);
    const std::string& type = node.op_type();
    if (type == "Gemm") return Gemm(x, Input(node, 1), Input(node, 2));
    if (type == "Conv") return Conv(node, x, Input(node, 1), Input(node, 2));
    if (type == "MaxPool" || type == "AveragePool")
      return Pool(node, x, type == "MaxPool");
    if (type == "Flatten")
      return {{1, static_cast<std::int64_t>(x.values.size())}, x.values};
    if (type == "Mul" || type == "Add") return Pairwise(node, x, type == "Mul");
    OnnxTensor out = x;
    for (double& v : out.values) {
      if (type == "Relu")
        v = std::max(v, 0.0);
      else if (type == "Tanh")
        v = std::tanh(v);
      else if (type == "Sigmoid")
        v = 1 / (1 + std::exp(-v));
      else if (type == "Erf")
        v = std::erf(v);
      else
        throw std::runtime_error("unknown operator " + type);
    }
    return out;
  }

  // Y = A B' + C, with transB = 1.
  static OnnxTensor Gemm(const OnnxTensor& a, const OnnxTensor& b,
                         const OnnxTensor& c) {
    OnnxTensor out{{1, b.shape[0]}, c.values};
    const auto n = static_cast<std::size_t>(b.shape[1]);
    for (std::size_t o = 0; o < out.values.size(); ++o)
      for (std::size_t i = 0; i < n; ++i)
        out.values[o] += a.values[i] * b.values[o * n + i];
    return out;
  }

  OnnxTensor Pairwise(const onnx::NodeProto& node, const OnnxTensor& x,
                      bool times) const {
    const OnnxTensor& y = Input(node, 1);
    OnnxTensor out = x;
    for (std::size_t i = 0; i < out.values.size(); ++i) {
      const double other = y.values[y.values.size() == 1 ? 0 : i];
      out.values[i] = times ? out.values[i] * other : out.values[i] + other;
    }
    return out;
  }

  // pads: begin of each axis, then the ends.
  struct Window {
    Ints kernel, strides, pads, dilations = {1, 1};
    explicit Window(const onnx::NodeProto& node)
        : kernel(Integers(node, "kernel_shape")),
          strides(Integers(node, "strides")),
          pads(Integers(node, "pads")) {}
    std::int64_t Places(std::size_t axis, std::int64_t size) const {
      const auto covered = dilations[axis] * (kernel[axis] - 1) + 1;
      return (size + pads[axis] + pads[axis + 2] - covered) / strides[axis] + 1;
    }
  };

  static double At(const OnnxTensor& x, std::int64_t c, std::int64_t h,
                   std::int64_t w) {
    return x.values[static_cast<std::size_t>((c * x.shape[2] + h) * x.shape[3] +
                                             w)];
  }

  // visit(row, column, inside) for each value under the window at (p, q).
  template <typename Visit>
  static void UnderWindow(const Window& window, const OnnxTensor& x,
                          std::int64_t p, std::int64_t q, const Visit& visit) {
    for (std::int64_t i = 0; i < window.kernel[0]; ++i)
      for (std::int64_t j = 0; j < window.kernel[1]; ++j) {
        const auto h =
            p * window.strides[0] - window.pads[0] + i * window.dilations[0];
        const auto w =
            q * window.strides[1] - window.pads[1] + j * window.dilations[1];
        visit(i, j, h, w, h >= 0 && h < x.shape[2] && w >= 0 && w < x.shape[3]);
      }
  }

  static OnnxTensor Conv(const onnx::NodeProto& node, const OnnxTensor& x,
                         const OnnxTensor& weight, const OnnxTensor& bias) {
    Window window(node);
    window.dilations = Integers(node, "dilations");
    const auto groups = Integers(node, "group")[0];
    const auto filters = weight.shape[0];
    const auto channels = weight.shape[1];
    OnnxTensor out{{1, filters, window.Places(0, x.shape[2]),
                    window.Places(1, x.shape[3])},
                   {}};
    for (std::int64_t f = 0; f < filters; ++f)
      for (std::int64_t p = 0; p < out.shape[2]; ++p)
        for (std::int64_t q = 0; q < out.shape[3]; ++q) {
          double sum = bias.values[static_cast<std::size_t>(f)];
          const auto first = f / (filters / groups) * channels;
          UnderWindow(window, x, p, q,
                      [&](auto i, auto j, auto h, auto w, bool inside) {
                        for (std::int64_t c = 0; inside && c < channels; ++c)
                          sum += At(weight, f * channels + c, i, j) *
                                 At(x, first + c, h, w);
                      });
          out.values.push_back(sum);
        }
    return out;
  }

  static OnnxTensor Pool(const onnx::NodeProto& node, const OnnxTensor& x,
                         bool max) {
    const Window window(node);
    if (!max && Integers(node, "count_include_pad")[0] != 1)
      throw std::runtime_error("means must count the padding");
    OnnxTensor out{{1, x.shape[1], window.Places(0, x.shape[2]),
                    window.Places(1, x.shape[3])},
                   {}};
    for (std::int64_t c = 0; c < x.shape[1]; ++c)
      for (std::int64_t p = 0; p < out.shape[2]; ++p)
        for (std::int64_t q = 0; q < out.shape[3]; ++q) {
          double most = -std::numeric_limits<double>::infinity(), sum = 0;
          UnderWindow(window, x, p, q,
                      [&](auto, auto, auto h, auto w, bool inside) {
                        if (!inside) return;
                        most = std::max(most, At(x, c, h, w));
                        sum += At(x, c, h, w);
                      });
          out.values.push_back(max ? most
                                   : sum /
                                         static_cast<double>(window.kernel[0] *
                                                             window.kernel[1]));
        }
    return out;
  }

  const onnx::GraphProto& graph_;
  std::map<std::string, OnnxTensor> values_;
};

}  // namespace hearsay::tests
