// Average pooling, where padding counts as zeros.
//
// Shapes: C channels of in (H, W) and out (P, Q), of B examples.
#include <algorithm>

#include "model/cpu/layers/layer.h"
#include "model/cpu/layers/windows.h"

namespace hearsay::model::cpu {

namespace {

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

std::unique_ptr<Layer> MakeAvgPool2d(const AvgPool2d& pool, const Shape& in,
                                     const Shape& out) {
  return std::make_unique<AvgPoolLayer>(pool, in, out);
}

}  // namespace hearsay::model::cpu
