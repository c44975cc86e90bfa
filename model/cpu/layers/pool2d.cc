// Max and average pooling.
//
// Shapes: C channels of in (H, W) and out (P, Q), of B examples.
#include <algorithm>
#include <cstdint>
#include <limits>

#include "model/cpu/layers/layer.h"

namespace hearsay::model::cpu {

namespace {

// The windows of one channel; those that padding cuts are smaller.
struct Windows {
  int H, W, P, Q;
  Extent kernel, stride, padding;

  // Calls each(place in out, first row, end of rows, first column, end).
  template <typename Each>
  void Visit(const Each& each) const {
    for (int p = 0; p < P; ++p) {
      const int top = p * stride.height - padding.height;
      for (int q = 0; q < Q; ++q) {
        const int left = q * stride.width - padding.width;
        each(p * Q + q, std::max(top, 0), std::min(top + kernel.height, H),
             std::max(left, 0), std::min(left + kernel.width, W));
      }
    }
  }
};

template <typename Pool>
Windows WindowsOf(const Pool& pool, const Shape& in, const Shape& out) {
  return {in[1], in[2], out[1], out[2], pool.kernel, pool.stride, pool.padding};
}

class MaxPoolLayer final : public Layer {
 public:
  MaxPoolLayer(const MaxPool2d& pool, const Shape& in, const Shape& out)
      : Layer(in, out), C_(in[0]), windows_(WindowsOf(pool, in, out)) {}

  void Cut(Cutter& cutter, int max_batch) override {
    Layer::Cut(cutter, max_batch);
    winners_ = cutter.TakeAs<std::int32_t>(Values(max_batch));
  }

  // The first of equals wins, as in PyTorch, and any NaN, so that none is lost.
  void Forward(const float*, int B, const float* in) override {
    const int W = windows_.W;
    float* out = out_;
    std::int32_t* winner = winners_;
    for (int c = 0; c < B * C_; ++c) {
      windows_.Visit([&](int at, int top, int bottom, int left, int right) {
        std::int32_t best = top * W + left;
        for (int h = top; h < bottom; ++h)
          for (int w = left; w < right; ++w)
            if (in[h * W + w] > in[best] || in[h * W + w] != in[h * W + w])
              best = h * W + w;
        out[at] = in[best];
        winner[at] = best;
      });
      in += windows_.H * W;
      out += windows_.P * windows_.Q;
      winner += windows_.P * windows_.Q;
    }
  }

  void Backward(const float*, int B, const float*, float* grad_in) override {
    if (grad_in == nullptr) return;
    std::fill_n(grad_in, static_cast<std::size_t>(B) * inputs_, 0.0f);
    const int places = windows_.P * windows_.Q;
    const float* grad = grad_;
    const std::int32_t* winner = winners_;
    for (int c = 0; c < B * C_; ++c) {
      for (int i = 0; i < places; ++i) grad_in[winner[i]] += grad[i];
      grad_in += windows_.H * windows_.W;
      grad += places;
      winner += places;
    }
  }

 private:
  const int C_;
  const Windows windows_;
  std::int32_t* winners_ = nullptr;  // (B, C, P, Q): where in (H, W)
};

class AvgPoolLayer final : public Layer {
 public:
  AvgPoolLayer(const AvgPool2d& pool, const Shape& in, const Shape& out)
      : Layer(in, out),
        C_(in[0]),
        windows_(WindowsOf(pool, in, out)),
        share_(1.0f / (static_cast<float>(pool.kernel.height) *
                       static_cast<float>(pool.kernel.width))) {}

  void Forward(const float*, int B, const float* in) override {
    float* out = out_;
    for (int c = 0; c < B * C_; ++c) {
      windows_.Visit([&](int at, int top, int bottom, int left, int right) {
        float sum = 0;
        for (int h = top; h < bottom; ++h)
          for (int w = left; w < right; ++w) sum += in[h * windows_.W + w];
        out[at] = sum * share_;
      });
      in += windows_.H * windows_.W;
      out += windows_.P * windows_.Q;
    }
  }

  void Backward(const float*, int B, const float*, float* grad_in) override {
    if (grad_in == nullptr) return;
    std::fill_n(grad_in, static_cast<std::size_t>(B) * inputs_, 0.0f);
    const float* grad = grad_;
    for (int c = 0; c < B * C_; ++c) {
      windows_.Visit([&](int at, int top, int bottom, int left, int right) {
        const float each = grad[at] * share_;
        for (int h = top; h < bottom; ++h)
          for (int w = left; w < right; ++w)
            grad_in[h * windows_.W + w] += each;
      });
      grad_in += windows_.H * windows_.W;
      grad += windows_.P * windows_.Q;
    }
  }

 private:
  const int C_;
  const Windows windows_;
  const float share_;
};

}  // namespace

std::unique_ptr<Layer> MakeMaxPool2d(const MaxPool2d& pool, const Shape& in,
                                     const Shape& out) {
  return std::make_unique<MaxPoolLayer>(pool, in, out);
}

std::unique_ptr<Layer> MakeAvgPool2d(const AvgPool2d& pool, const Shape& in,
                                     const Shape& out) {
  return std::make_unique<AvgPoolLayer>(pool, in, out);
}

}  // namespace hearsay::model::cpu
