// The oracle of the ONNX tests: runs a graph by the words of the operators'
// specification, on one example, in double. It knows no model of ours.
#pragma once

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
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
    for (const auto& initializer : graph.initializer())
      values_[initializer.name()] = {
          {initializer.dims().begin(), initializer.dims().end()},
          initializer.data_type() == onnx::TensorProto::INT64
              ? ValuesOf<std::int64_t>(initializer.raw_data())
              : ValuesOf<float>(initializer.raw_data())};
  }

  OnnxTensor Run(const OnnxTensor& input) {
    values_[graph_.input(0).name()] = input;
    for (const auto& node : graph_.node())
      values_[node.output(0)] = Compute(node);
    return values_.at(graph_.output(0).name());
  }

 private:
  using Ints = std::vector<std::int64_t>;

  template <typename T>
  static std::vector<double> ValuesOf(const std::string& bytes) {
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return {values.begin(), values.end()};
  }

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
    if (type == "Mul" || type == "Add")
      return Pairwise(x, Input(node, 1), type == "Mul");
    if (type == "MatMul") return MatMul(x, Input(node, 1));
    if (type == "Transpose") return Transpose(x, Integers(node, "perm"));
    if (type == "Reshape") return Reshape(x, Input(node, 1));
    if (type == "Gather")
      return Gather(x, Input(node, 1), Integers(node, "axis")[0]);
    if (type == "Concat") return Concat(node);
    if (type == "Softmax") return Softmax(x);
    if (type == "ReduceMean") return MeanOverPlaces(node, x);
    if (type == "LayerNormalization")
      return Normalise(node, x, x.shape.back(), false);
    if (type == "InstanceNormalization")
      return Normalise(node, x, x.shape[2], true);
    if (type == "Cast" || type == "Identity") return x;
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

  static std::int64_t Product(const Ints& shape) {
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1},
                           std::multiplies<>());
  }
  static double& At(OnnxTensor& x, std::int64_t i) {
    return x.values.at(static_cast<std::size_t>(i));
  }
  static double At(const OnnxTensor& x, std::int64_t i) {
    return x.values.at(static_cast<std::size_t>(i));
  }

  // By NumPy's rules of broadcasting.
  static OnnxTensor Pairwise(const OnnxTensor& a, const OnnxTensor& b,
                             bool times) {
    const std::size_t rank = std::max(a.shape.size(), b.shape.size());
    const auto extent = [&](const OnnxTensor& of, std::size_t axis) {
      const std::size_t missing = rank - of.shape.size();
      return axis < missing ? 1 : of.shape[axis - missing];
    };
    OnnxTensor out;
    for (std::size_t axis = 0; axis < rank; ++axis) {
      const auto one = extent(a, axis), other = extent(b, axis);
      if (one != other && one != 1 && other != 1)
        throw std::runtime_error("shapes that cannot be broadcast");
      out.shape.push_back(std::max(one, other));
    }
    out.values.resize(static_cast<std::size_t>(Product(out.shape)));
    for (std::int64_t i = 0; i < Product(out.shape); ++i) {
      const auto value = [&](const OnnxTensor& of) {
        std::int64_t rest = i, at = 0, step = 1;
        for (std::size_t axis = rank; axis-- > 0;) {
          const auto index = rest % out.shape[axis];
          rest /= out.shape[axis];
          if (extent(of, axis) > 1) at += index * step;
          step *= extent(of, axis);
        }
        return At(of, at);
      };
      At(out, i) = times ? value(a) * value(b) : value(a) + value(b);
    }
    return out;
  }

  // (..., m, k) times (..., k, n), or (k, n) for all.
  static OnnxTensor MatMul(const OnnxTensor& a, const OnnxTensor& b) {
    const auto rank = a.shape.size();
    const auto m = a.shape[rank - 2], k = a.shape[rank - 1];
    const auto n = b.shape.back();
    if (b.shape[b.shape.size() - 2] != k)
      throw std::runtime_error("matrices that do not fit");
    OnnxTensor out{a.shape, {}};
    out.shape.back() = n;
    const auto batches = Product(a.shape) / (m * k);
    const bool one = b.shape.size() == 2;
    if (!one && Product(b.shape) / (k * n) != batches)
      throw std::runtime_error("batches of matrices that do not fit");
    for (std::int64_t i = 0; i < batches * m; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (std::int64_t l = 0; l < k; ++l)
          sum += At(a, i * k + l) * At(b, ((one ? 0 : i / m) * k + l) * n + j);
        out.values.push_back(sum);
      }
    return out;
  }

  static OnnxTensor Transpose(const OnnxTensor& x, const Ints& order) {
    OnnxTensor out{{}, std::vector<double>(x.values.size())};
    for (const auto axis : order)
      out.shape.push_back(x.shape.at(static_cast<std::size_t>(axis)));
    for (std::int64_t i = 0; i < Product(out.shape); ++i) {
      Ints index(x.shape.size());
      std::int64_t rest = i;
      for (std::size_t axis = order.size(); axis-- > 0;) {
        index.at(static_cast<std::size_t>(order[axis])) =
            rest % out.shape[axis];
        rest /= out.shape[axis];
      }
      std::int64_t from = 0;
      for (std::size_t axis = 0; axis < index.size(); ++axis)
        from = from * x.shape[axis] + index[axis];
      At(out, i) = At(x, from);
    }
    return out;
  }

  static OnnxTensor Reshape(const OnnxTensor& x, const OnnxTensor& extents) {
    OnnxTensor out{{}, x.values};
    std::int64_t known = 1;
    for (std::size_t i = 0; i < extents.values.size(); ++i) {
      auto extent = static_cast<std::int64_t>(extents.values[i]);
      if (extent == 0) extent = x.shape.at(i);
      out.shape.push_back(extent);
      if (extent > 0) known *= extent;
    }
    for (auto& extent : out.shape)
      if (extent == -1) extent = Product(x.shape) / known;
    if (Product(out.shape) != Product(x.shape))
      throw std::runtime_error("a shape of another size");
    return out;
  }

  // The axis is replaced by the shape of the indices.
  static OnnxTensor Gather(const OnnxTensor& x, const OnnxTensor& indices,
                           std::int64_t axis) {
    const auto split = x.shape.begin() + axis;
    OnnxTensor out{{x.shape.begin(), split}, {}};
    out.shape.insert(out.shape.end(), indices.shape.begin(),
                     indices.shape.end());
    out.shape.insert(out.shape.end(), split + 1, x.shape.end());
    const auto outer = Product({x.shape.begin(), split});
    const auto inner = Product({split + 1, x.shape.end()});
    for (std::int64_t o = 0; o < outer; ++o)
      for (const double index : indices.values) {
        const auto which = static_cast<std::int64_t>(index);
        if (which < 0 || which >= *split)
          throw std::runtime_error("an index beyond the axis");
        for (std::int64_t i = 0; i < inner; ++i)
          out.values.push_back(At(x, (o * *split + which) * inner + i));
      }
    return out;
  }

  // Of one example's (1, n) tensors.
  OnnxTensor Concat(const onnx::NodeProto& node) const {
    OnnxTensor out{{1, 0}, {}};
    for (int i = 0; i < node.input_size(); ++i) {
      const OnnxTensor& part = Input(node, i);
      if (part.shape.size() != 2 || part.shape[0] != 1)
        throw std::runtime_error("no row to be put beside others");
      out.shape[1] += part.shape[1];
      out.values.insert(out.values.end(), part.values.begin(),
                        part.values.end());
    }
    return out;
  }

  // Over the last axis.
  static OnnxTensor Softmax(const OnnxTensor& x) {
    OnnxTensor out = x;
    const auto n = x.shape.back();
    for (std::int64_t first = 0; first < Product(x.shape); first += n) {
      double sum = 0;
      for (std::int64_t i = first; i < first + n; ++i)
        sum += At(out, i) = std::exp(At(x, i));
      for (std::int64_t i = first; i < first + n; ++i) At(out, i) /= sum;
    }
    return out;
  }

  static OnnxTensor MeanOverPlaces(const onnx::NodeProto& node,
                                   const OnnxTensor& x) {
    if (Integers(node, "axes") != Ints{1} || Integers(node, "keepdims")[0] != 0)
      throw std::runtime_error("a mean over other axes");
    const auto d = x.shape[2];
    OnnxTensor out{{1, d}, std::vector<double>(static_cast<std::size_t>(d))};
    for (std::int64_t i = 0; i < Product(x.shape); ++i)
      At(out, i % d) += At(x, i) / static_cast<double>(x.shape[1]);
    return out;
  }

  // Runs of n values, with a scale and a bias for each of their places, or for
  // each channel.
  OnnxTensor Normalise(const onnx::NodeProto& node, const OnnxTensor& x,
                       std::int64_t n, bool by_channel) const {
    double epsilon = 0;
    for (const auto& attribute : node.attribute())
      if (attribute.name() == "epsilon") epsilon = attribute.f();
    const OnnxTensor &scale = Input(node, 1), &bias = Input(node, 2);
    OnnxTensor out = x;
    for (std::int64_t first = 0; first < Product(x.shape); first += n) {
      double mean = 0, variance = 0;
      for (std::int64_t i = first; i < first + n; ++i)
        mean += At(x, i) / static_cast<double>(n);
      for (std::int64_t i = first; i < first + n; ++i)
        variance +=
            (At(x, i) - mean) * (At(x, i) - mean) / static_cast<double>(n);
      for (std::int64_t i = first; i < first + n; ++i) {
        const auto at = by_channel ? first / n % x.shape[1] : i - first;
        At(out, i) =
            (At(x, i) - mean) / std::sqrt(variance + epsilon) * At(scale, at) +
            At(bias, at);
      }
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
