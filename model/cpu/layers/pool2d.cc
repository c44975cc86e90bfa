// Max and average pooling.
//
// Shapes: C channels of in (H, W) and out (P, Q), of B examples.
#include <algorithm>
#include <cstdint>

#include "model/cpu/layers/layer.h"
#include "model/cpu/simd.h"

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

// best and cell (n): of the values at x + offset(cell), the largest, and in
// which cell of the window it is. The first of equals stays, as in PyTorch, and
// any NaN wins, so that none is lost.
HEARSAY_VECTORISE
void LargestOfCells(int n, const Windows& windows, const float* in, float* best,
                    std::int32_t* cell) {
  std::copy_n(in, n, best);
  std::fill_n(cell, n, 0);
  for (int i = 0; i < windows.kernel.height; ++i)
    for (int j = i == 0 ? 1 : 0; j < windows.kernel.width; ++j) {
      const std::int32_t offset = i * windows.W + j;
      const float* const values = in + offset;
#pragma omp simd
      for (int x = 0; x < n; ++x) {
        const float value = values[x];
        const bool larger = (value > best[x]) | (value != value);
        best[x] = larger ? value : best[x];
        cell[x] = larger ? offset : cell[x];
      }
    }
}

class MaxPoolLayer final : public Layer {
 public:
  MaxPoolLayer(const MaxPool2d& pool, const Shape& in, const Shape& out)
      : Layer(in, out),
        C_(in[0]),
        windows_(WindowsOf(pool, in, out)),
        whole_(pool.padding == Extent{0, 0} &&
               pool.kernel.height * pool.kernel.width <= kMostCells) {}

  void Cut(Cutter& cutter, int max_batch) override {
    Layer::Cut(cutter, max_batch);
    if (whole_) {
      const auto image = static_cast<std::size_t>(windows_.H * windows_.W);
      best_ = cutter.Take(image);
      cells_ = cutter.TakeAs<std::int32_t>(image);
    }
    winners_ = cutter.TakeAs<std::int32_t>(Values(max_batch));
  }

  void Forward(const float*, int B, const float* in) override {
    for (int c = 0; c < B * C_; ++c) {
      const std::size_t at = static_cast<std::size_t>(c) * places();
      if (whole_)
        Sweep(in, out_ + at, winners_ + at);
      else
        Search(in, out_ + at, winners_ + at);
      in += windows_.H * windows_.W;
    }
  }

  void Backward(const float*, int B, const float*, float* grad_in) override {
    if (grad_in == nullptr) return;
    std::fill_n(grad_in, static_cast<std::size_t>(B) * inputs_, 0.0f);
    const std::size_t places = this->places();
    const float* grad = grad_;
    const std::int32_t* winner = winners_;
    for (int c = 0; c < B * C_; ++c) {
      for (std::size_t i = 0; i < places; ++i) grad_in[winner[i]] += grad[i];
      grad_in += windows_.H * windows_.W;
      grad += places;
      winner += places;
    }
  }

 private:
  // Larger windows are searched: a sweep looks at every cell at every place.
  static constexpr int kMostCells = 16;

  std::size_t places() const {
    return static_cast<std::size_t>(windows_.P * windows_.Q);
  }

  // A window at every place of the image, also where there is none: that is one
  // loop over the image for each cell, and what is wanted is taken from it.
  void Sweep(const float* in, float* out, std::int32_t* winner) {
    const auto& [H, W, P, Q, kernel, stride, padding] = windows_;
    const int n = (H - kernel.height) * W + W - kernel.width + 1;
    LargestOfCells(n, windows_, in, best_, cells_);
    for (int p = 0; p < P; ++p)
      for (int q = 0; q < Q; ++q) {
        const int x = p * stride.height * W + q * stride.width;
        *out++ = best_[x];
        *winner++ = x + cells_[x];
      }
  }

  void Search(const float* in, float* out, std::int32_t* winner) const {
    const int W = windows_.W;
    windows_.Visit([&](int at, int top, int bottom, int left, int right) {
      std::int32_t best = top * W + left;
      for (int h = top; h < bottom; ++h)
        for (int w = left; w < right; ++w)
          if (in[h * W + w] > in[best] || in[h * W + w] != in[h * W + w])
            best = h * W + w;
      out[at] = in[best];
      winner[at] = best;
    });
  }

  const int C_;
  const Windows windows_;
  const bool whole_;                 // no window is cut, and it is small
  float* best_ = nullptr;            // (H, W)
  std::int32_t* cells_ = nullptr;    // (H, W)
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
