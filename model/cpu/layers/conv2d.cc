// Convolution, by the products of conv_kernels.h.
//
// Per-example norms: an example's own gradient is formed, and the very same
// values, times the factor, go into the sum. Gradients are kept from one pass
// to the next where a batch of them is few values. Where it is not, ghost norms
// take their place by the rule of weight_gradient.h, or the gradient is formed
// anew, to the same bits. (The rule would choose ghost norms also for small
// gradients. Forming one takes as many operations, in float, and saves the
// product that sums up: a private step of MNIST's network takes 1.05 times a
// plain one, with ghost norms for its second convolution 1.33.)
//
// Where it gives its images channels last (order.h), its rows are those images:
// what it made, and then the gradient that it is handed.
//
// Shapes: G groups, each with d = (C/G) kh kw values under the kernel and p =
// F/G filters, P with padding; T places; in (C, H, W), out (F, T); weight
// (F, C/G, kh, kw), bias (F).
#include <algorithm>
#include <limits>

#include "model/cpu/clipping.h"
#include "model/cpu/layers/layer.h"
#include "model/cpu/patches.h"
#include "model/cpu/simd.h"
#include "model/cpu/weight_gradient.h"

namespace hearsay::model::cpu {

namespace {

// sums (rows) of each row, in double.
HEARSAY_VECTORISE
void SumRows(int rows, int width, const float* values, float* sums) {
  for (int r = 0; r < rows; ++r, values += width) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < width; ++i) sum += values[i];
    sums[r] = static_cast<float>(sum);
  }
}

class Conv2dLayer final : public Layer {
 public:
  Conv2dLayer(const Conv2d& conv, const Shape& in, const Shape& out,
              const Place& place)
      : Layer(in, out),
        takes_channels_last_(place.takes_channels_last),
        rows_are_images_(place.gives_channels_last),
        kernels_(KernelsOfThisProcessor()),
        patches_(conv, in, out),
        shape_(patches_.shape()),
        G_(conv.groups),
        F_(conv.filters),
        p_(static_cast<std::size_t>(F_ / G_)),
        T_(static_cast<std::size_t>(shape_.T())),
        d_(static_cast<std::size_t>(shape_.d())),
        P_(static_cast<std::size_t>(shape_.filters)),
        weight_(place.offset),
        bias_(place.offset + static_cast<std::size_t>(F_) * d_),
        ghost_({shape_.T(), shape_.d(), F_ / G_}) {}

  void Cut(Cutter& cutter, int max_batch) override {
    Layer::Cut(cutter, max_batch);
    const auto B = static_cast<std::size_t>(max_batch);
    const auto G = static_cast<std::size_t>(G_);
    max_batch_ = B;
    images_ = cutter.Take(B * patches_.size());
    if (rows_are_images_)
      rows_ = out_, grad_rows_ = grad_;
    else
      rows_ = grad_rows_ = cutter.Take(G * B * T_ * P_);
    grad_images_ = cutter.Take(B * patches_.size());
    forward_ = cutter.Take(G * d_ * P_);
    backward_ =
        cutter.Take(G * static_cast<std::size_t>(shape_.d_padded()) * P_);
    padded_bias_ = cutter.Take(G * P_);
    bias_grads_ = cutter.Take(B * static_cast<std::size_t>(F_));
    sum_ = cutter.Take(d_ * P_);
    const std::size_t all = B * G * d_ * P_;
    norms_ = all <= kMostKept ? Norms::kOfKept
             : ghost_.ghost() ? Norms::kGhost
                              : Norms::kOfFormed;
    if (norms_ == Norms::kGhost) {
      ghost_.Cut(cutter, 1);
      unfolded_ = cutter.Take(ghost_.inputs());
      ghost_rows_ = cutter.Take(ghost_.grads());
    } else {
      gradients_ = cutter.Take(norms_ == Norms::kOfKept ? all : d_ * P_);
    }
  }

  void Forward(const float* weights, int B, const float* in) override {
    for (int b = 0; b < B; ++b)
      patches_.Lay(in + Of(b, inputs_), takes_channels_last_,
                   images_ + Of(b, patches_.size()));
    for (int g = 0; g < G_; ++g) {
      float* const packed = forward_ + Of(g, d_ * P_);
      float* const bias = padded_bias_ + Of(g, P_);
      patches_.PackForward(weights + weight_ + WeightsOf(g), packed);
      std::copy_n(weights + bias_ + Of(g, p_), p_, bias);
      kernels_.forward(shape_, B, images_ + patches_.channel(g), packed, bias,
                       rows_ + RowsAt(g, 0));
      if (rows_are_images_) continue;
      for (int b = 0; b < B; ++b)
        Transpose(T_, p_, rows_ + RowsAt(g, b), P_, OfGroup(out_, g, b), T_);
    }
  }

  // The rows of out become those of its gradient. Their padding is 0 still, or
  // not finite where the input is not, which rejects the example.
  void Backward(const float* weights, int B, const float*,
                float* grad_in) override {
    for (int b = 0; b < B; ++b)
      if (rows_are_images_)
        SumPlaces(shape_.T(), F_, grad_ + Of(b, outputs_), BiasGrad(b));
      else
        SumRows(F_, shape_.T(), grad_ + Of(b, outputs_), BiasGrad(b));
    for (int g = 0; g < G_ && !rows_are_images_; ++g)
      for (int b = 0; b < B; ++b)
        Transpose(p_, T_, OfGroup(grad_, g, b), T_, GradRows(g, b), P_);
    if (grad_in == nullptr) return;
    std::fill_n(grad_images_, Of(B, patches_.size()), 0.0f);
    for (int g = 0; g < G_; ++g) {
      float* const packed =
          backward_ + Of(g, static_cast<std::size_t>(shape_.d_padded()) * P_);
      patches_.PackBackward(weights + weight_ + WeightsOf(g), packed);
      kernels_.backward(shape_, B, GradRows(g, 0), packed,
                        grad_images_ + patches_.channel(g));
    }
    for (int b = 0; b < B; ++b)
      patches_.Gather(grad_images_ + Of(b, patches_.size()),
                      takes_channels_last_, grad_in + Of(b, inputs_));
  }

  void AddSquaredNorms(int B, const float*, double* squared_norms) override {
    for (int b = 0; b < B; ++b) {
      double squared = SquaredLength(static_cast<std::size_t>(F_), BiasGrad(b));
      for (int g = 0; g < G_; ++g)
        squared += norms_ == Norms::kGhost ? GhostSquaredNorm(g, b)
                                           : SquaredLength(d_ * P_, Form(g, b));
      squared_norms[b] += squared - squared == 0
                              ? squared
                              : std::numeric_limits<double>::infinity();
    }
  }

  void AddClippedGradient(int B, const float*, const float* factors,
                          float* sum) override {
    if (factors == nullptr)
      AddRowsTo(B, F_, bias_grads_, sum + bias_);
    else
      ScaleRowsAndAddTo(B, F_, factors, bias_grads_, sum + bias_);
    for (int g = 0; g < G_; ++g) {
      if (factors == nullptr || norms_ == Norms::kGhost) {
        if (factors != nullptr)
          ScaleRows(B, static_cast<int>(T_ * P_), factors, GradRows(g, 0));
        kernels_.gradient(shape_, B, images_ + patches_.channel(g),
                          GradRows(g, 0), sum_);
      } else {
        std::fill_n(sum_, d_ * P_, 0.0f);
        for (int b = 0; b < B; ++b)
          if (factors[b] != 0)
            AddTimes(d_ * P_, factors[b],
                     norms_ == Norms::kOfKept ? Gradient(g, b) : Form(g, b),
                     sum_);
      }
      patches_.AddUnpacked(sum_, sum + weight_ + WeightsOf(g));
    }
  }

  void ZeroRejected(int B, const float* factors) override {
    Layer::ZeroRejected(B, factors);
    ZeroRowsWithoutFactor(B, F_, factors, bias_grads_);
    ZeroRowsWithoutFactor(B, static_cast<int>(patches_.size()), factors,
                          images_);
    for (int g = 0; g < G_; ++g)
      ZeroRowsWithoutFactor(B, static_cast<int>(T_ * P_), factors,
                            GradRows(g, 0));
  }

 private:
  enum class Norms { kOfKept, kGhost, kOfFormed };

  // 16 MiB: beyond, forming gradients again is as cheap as reading them.
  static constexpr std::size_t kMostKept = std::size_t{1} << 22;

  static std::size_t Of(int n, std::size_t width) {
    return static_cast<std::size_t>(n) * width;
  }
  std::size_t WeightsOf(int g) const { return Of(g, p_ * d_); }
  std::size_t RowsAt(int g, int b) const {
    return (Of(g, max_batch_) + static_cast<std::size_t>(b)) * T_ * P_;
  }
  float* GradRows(int g, int b) const { return grad_rows_ + RowsAt(g, b); }
  float* BiasGrad(int b) const {
    return bias_grads_ + Of(b, static_cast<std::size_t>(F_));
  }
  // Of out or its gradient: one group's filters of one example.
  float* OfGroup(float* values, int g, int b) const {
    return values + Of(b, outputs_) + Of(g, p_ * T_);
  }
  float* Gradient(int g, int b) const {
    const auto example = norms_ == Norms::kOfKept ? Of(b * G_ + g, d_ * P_) : 0;
    return gradients_ + example;
  }

  // One example's gradient of one group's weights.
  const float* Form(int g, int b) const {
    float* const gradient = Gradient(g, b);
    kernels_.gradient(shape_, 1,
                      images_ + Of(b, patches_.size()) + patches_.channel(g),
                      GradRows(g, b), gradient);
    return gradient;
  }

  double GhostSquaredNorm(int g, int b) {
    patches_.Unfold(images_ + Of(b, patches_.size()) + patches_.channel(g),
                    unfolded_);
    if (rows_are_images_)
      return ghost_.SquaredNorm(0, unfolded_, GradRows(g, b));
    Transpose(p_, T_, OfGroup(grad_, g, b), T_, ghost_rows_, p_);
    return ghost_.SquaredNorm(0, unfolded_, ghost_rows_);
  }

  const bool takes_channels_last_, rows_are_images_;
  const ConvKernels& kernels_;
  const Patches patches_;
  const ConvShape& shape_;
  const int G_, F_;
  const std::size_t p_, T_, d_, P_;
  const std::size_t weight_;
  const std::size_t bias_;
  WeightGradient ghost_;
  Norms norms_ = Norms::kOfKept;
  std::size_t max_batch_ = 0;
  float* images_ = nullptr;       // (B, laid out)
  float* grad_images_ = nullptr;  // (B, laid out)
  float* rows_ = nullptr;         // (G, B, T, P): out
  float* grad_rows_ = nullptr;    // its gradient; may be in the same place
  float* forward_ = nullptr;      // packed weights
  float* backward_ = nullptr;
  float* padded_bias_ = nullptr;  // (G, P)
  float* bias_grads_ = nullptr;   // (B, F)
  float* gradients_ = nullptr;    // (B, G, d, P) if kept, else (d, P)
  float* sum_ = nullptr;          // (d, P)
  float* unfolded_ = nullptr;     // (T, d), for ghost norms
  float* ghost_rows_ = nullptr;   // (T, p)
};

}  // namespace

std::unique_ptr<Layer> MakeConv2d(const Conv2d& conv, const Shape& in,
                                  const Shape& out, const Place& place) {
  return std::make_unique<Conv2dLayer>(conv, in, out, place);
}

}  // namespace hearsay::model::cpu
