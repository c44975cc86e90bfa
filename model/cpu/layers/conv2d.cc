// Convolution by unfolding: the values under the kernel at every place become
// the columns of a matrix, and the rest is a dense layer used at T places.
//
// Shapes: G groups, each with d = (C/G) kh kw unfolded inputs and p = F/G
// filters; T = P Q places; in (C, H, W), out (F, P, Q), columns (G, d, T),
// weight (G, p, d), bias (F).
#include <algorithm>
#include <limits>

#include "model/cpu/clipping.h"
#include "model/cpu/gemm.h"
#include "model/cpu/layers/layer.h"
#include "model/cpu/unfold.h"
#include "model/cpu/weight_gradient.h"

namespace hearsay::model::cpu {

namespace {

class Conv2dLayer final : public Layer {
 public:
  Conv2dLayer(const Conv2d& conv, const Shape& in, const Shape& out,
              std::size_t offset)
      : Layer(in, out),
        conv_(conv),
        unfolder_(conv, in, out),
        T_(out[1] * out[2]),
        G_(conv.groups),
        d_(in[0] / G_ * conv.kernel.height * conv.kernel.width),
        p_(conv.filters / G_),
        weight_(offset),
        bias_(offset + static_cast<std::size_t>(conv.filters) *
                           static_cast<std::size_t>(d_)) {
    // A square and its vector of gradients for each group: groups are few.
    for (int g = 0; g < G_; ++g)
      gradients_.emplace_back(WeightGradient::Sizes{T_, d_, p_},
                              Places::kInColumns);
  }

  void Cut(Cutter& cutter, int max_batch) override {
    Layer::Cut(cutter, max_batch);
    const auto rows = static_cast<std::size_t>(max_batch);
    const std::size_t one = Columns();
    keeps_columns_ = rows * one <= kMostKept;
    columns_ =
        cutter.Take((keeps_columns_ ? rows * one : one) + Unfolder::kSlack);
    grad_columns_ = cutter.Take(one);
    bias_grads_ = cutter.Take(rows * static_cast<std::size_t>(conv_.filters));
    for (WeightGradient& gradient : gradients_) gradient.Cut(cutter, max_batch);
  }

  void Forward(const float* weights, int B, const float* in) override {
    for (int b = 0; b < B; ++b) {
      const float* const columns = Unfold(b, in);
      float* const out = Row(out_, outputs_, b);
      const float* bias = weights + bias_;
      for (int f = 0; f < conv_.filters; ++f)
        std::fill_n(out + f * T_, T_, bias[f]);
      for (int g = 0; g < G_; ++g)
        Product({.rows = p_, .columns = T_, .inner = d_, .beta = 1},
                weights + weight_ + GroupOf(p_, d_, g),
                columns + GroupOf(d_, T_, g), out + GroupOf(p_, T_, g));
    }
  }

  void Backward(const float* weights, int B, const float*,
                float* grad_in) override {
    for (int b = 0; b < B; ++b) {
      const float* const grad = Row(grad_, outputs_, b);
      SumPlaces(T_, conv_.filters, Places::kInColumns, grad, BiasGrad(b));
      if (grad_in == nullptr) continue;
      for (int g = 0; g < G_; ++g)
        Product(
            {.rows = d_, .columns = T_, .inner = p_, .transposed_left = true},
            weights + weight_ + GroupOf(p_, d_, g), grad + GroupOf(p_, T_, g),
            grad_columns_ + GroupOf(d_, T_, g));
      unfolder_.Fold(grad_columns_, Row(grad_in, inputs_, b));
    }
  }

  void AddSquaredNorms(int B, const float* in, double* squared_norms) override {
    for (int b = 0; b < B; ++b) {
      const float* const columns = Kept(b, in);
      const float* const grad = Row(grad_, outputs_, b);
      double squared =
          SquaredLength(static_cast<std::size_t>(conv_.filters), BiasGrad(b));
      for (int g = 0; g < G_; ++g)
        squared += gradients_[static_cast<std::size_t>(g)].SquaredNorm(
            b, columns + GroupOf(d_, T_, g), grad + GroupOf(p_, T_, g));
      squared_norms[b] += squared - squared == 0
                              ? squared
                              : std::numeric_limits<double>::infinity();
    }
  }

  void AddClippedGradient(int B, const float* in, const float* factors,
                          float* sum) override {
    if (factors == nullptr)
      AddRowsTo(B, conv_.filters, bias_grads_, sum + bias_);
    else
      ScaleRowsAndAddTo(B, conv_.filters, factors, bias_grads_, sum + bias_);
    for (int b = 0; b < B; ++b) {
      if (factors != nullptr && factors[b] == 0) continue;
      const float* const columns = Kept(b, in);
      const float* const grad = Row(grad_, outputs_, b);
      for (int g = 0; g < G_; ++g) {
        auto& gradient = gradients_[static_cast<std::size_t>(g)];
        const float* const a = columns + GroupOf(d_, T_, g);
        const float* const of_out = grad + GroupOf(p_, T_, g);
        float* const to = sum + weight_ + GroupOf(p_, d_, g);
        if (factors == nullptr)
          gradient.Add(a, of_out, to);
        else
          gradient.AddScaled(b, a, of_out, factors[b], to);
      }
    }
  }

  void ZeroRejected(int B, const float* factors) override {
    Layer::ZeroRejected(B, factors);
    ZeroRowsWithoutFactor(B, conv_.filters, factors, bias_grads_);
  }

 private:
  // 64 MiB: beyond, unfolding again is as cheap as reading.
  static constexpr std::size_t kMostKept = std::size_t{1} << 24;

  template <typename T>
  static T* Row(T* rows, std::size_t width, int b) {
    return rows + static_cast<std::size_t>(b) * width;
  }
  static std::size_t GroupOf(int rows, int columns, int g) {
    return static_cast<std::size_t>(g) * static_cast<std::size_t>(rows) *
           static_cast<std::size_t>(columns);
  }
  std::size_t Columns() const { return GroupOf(d_, T_, G_); }
  float* BiasGrad(int b) const {
    return Row(bias_grads_, static_cast<std::size_t>(conv_.filters), b);
  }

  const float* Unfold(int b, const float* in) {
    float* const columns =
        columns_ +
        (keeps_columns_ ? static_cast<std::size_t>(b) * Columns() : 0);
    unfolder_.Unfold(Row(in, inputs_, b), columns);
    return columns;
  }

  // As they were unfolded in Forward.
  const float* Kept(int b, const float* in) {
    return keeps_columns_ ? columns_ + static_cast<std::size_t>(b) * Columns()
                          : Unfold(b, in);
  }

  const Conv2d conv_;
  Unfolder unfolder_;
  const int T_, G_, d_, p_;
  const std::size_t weight_;
  const std::size_t bias_;
  std::vector<WeightGradient> gradients_;
  bool keeps_columns_ = false;
  float* columns_ = nullptr;
  float* grad_columns_ = nullptr;
  float* bias_grads_ = nullptr;  // (B, F)
};

}  // namespace

std::unique_ptr<Layer> MakeConv2d(const Conv2d& conv, const Shape& in,
                                  const Shape& out, std::size_t offset) {
  return std::make_unique<Conv2dLayer>(conv, in, out, offset);
}

}  // namespace hearsay::model::cpu
