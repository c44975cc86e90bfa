// Self-attention of several heads: softmax(Q K^T / sqrt(e)) V for each head,
// and a projection of what they give side by side.
//
// Shapes: T places of d = h e values, h heads; Q, K and V side by side (T, 3d);
// in_proj_weight (3d, d), out_proj.weight (d, d).
#include <algorithm>
#include <cmath>

#include "model/cpu/activations.h"
#include "model/cpu/clipping.h"
#include "model/cpu/gemm.h"
#include "model/cpu/layers/layer.h"
#include "model/cpu/linear.h"
#include "model/cpu/simd.h"

namespace hearsay::model::cpu {

namespace {

// In place over the first n values; the others become 0. NaN spoils the row.
HEARSAY_VECTORISE
void Softmax(int n, int T, float* row) {
  float most = row[0];
  for (int s = 1; s < n; ++s) most = std::max(most, row[s]);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int s = 0; s < n; ++s) {
    row[s] = ::expf(row[s] - most);
    sum += row[s];
  }
  const float share = 1 / sum;
#pragma omp simd
  for (int s = 0; s < n; ++s) row[s] *= share;
  std::fill(row + n, row + T, 0.0f);
}

// grad *= the derivative of softmax, whose results are `shares`.
HEARSAY_VECTORISE
void BackThroughSoftmax(int T, float scale, const float* shares, float* grad) {
  float along = 0;
#pragma omp simd reduction(+ : along)
  for (int s = 0; s < T; ++s) along += shares[s] * grad[s];
#pragma omp simd
  for (int s = 0; s < T; ++s) grad[s] = scale * shares[s] * (grad[s] - along);
}

class AttentionLayer final : public Layer {
 public:
  AttentionLayer(const Attention& attention, const Shape& in,
                 std::size_t offset)
      : AttentionLayer(attention, in, offset,
                       static_cast<std::size_t>(in[1]) *
                           static_cast<std::size_t>(in[1])) {}

  void Cut(Cutter& cutter, int max_batch) override {
    Layer::Cut(cutter, max_batch);
    const auto rows = static_cast<std::size_t>(max_batch);
    projected_ = cutter.Take(3 * Values(max_batch));
    grad_projected_ = cutter.Take(3 * Values(max_batch));
    mixed_ = cutter.Take(Values(max_batch));
    grad_mixed_ = cutter.Take(Values(max_batch));
    shares_ = cutter.Take(rows * static_cast<std::size_t>(h_) * Square());
    grad_scores_ = cutter.Take(Square());
    in_proj_.Cut(cutter, max_batch);
    out_proj_.Cut(cutter, max_batch);
  }

  void Forward(const float* weights, int B, const float* in) override {
    in_proj_.Forward(weights, B, in, projected_);
    AddBiasAndActivate(Activation::kNone, B * T_, 3 * d_, weights + in_bias_,
                       projected_, projected_);
    VisitHeads(B, [&](const Head& head) {
      Product({.rows = T_,
               .columns = T_,
               .inner = e_,
               .transposed_right = true,
               .alpha = scale_,
               .left_row = 3 * d_,
               .right_row = 3 * d_},
              head.q, head.k, head.shares);
      for (int t = 0; t < T_; ++t)
        Softmax(causal_ ? t + 1 : T_, T_, head.shares + t * T_);
      Product({.rows = T_,
               .columns = e_,
               .inner = T_,
               .right_row = 3 * d_,
               .result_row = d_},
              head.shares, head.v, head.mixed);
    });
    out_proj_.Forward(weights, B, mixed_, out_);
    AddBiasAndActivate(Activation::kNone, B * T_, d_, weights + out_bias_, out_,
                       out_);
  }

  void Backward(const float* weights, int B, const float*,
                float* grad_in) override {
    out_proj_.Backward(weights, B, grad_, grad_mixed_);
    VisitHeads(B, [&](const Head& head) { BackThroughHead(head); });
    in_proj_.Backward(weights, B, grad_projected_, grad_in);
  }

  void AddSquaredNorms(int B, const float* in, double* squared_norms) override {
    in_proj_.AddSquaredNorms(B, in, grad_projected_, squared_norms);
    out_proj_.AddSquaredNorms(B, mixed_, grad_, squared_norms);
  }

  void AddClippedGradient(int B, const float* in, const float* factors,
                          float* sum) override {
    in_proj_.AddClippedGradient(B, in, grad_projected_, factors, sum);
    out_proj_.AddClippedGradient(B, mixed_, grad_, factors, sum);
  }

  void ZeroRejected(int B, const float* factors) override {
    Layer::ZeroRejected(B, factors);
    const auto width = static_cast<int>(outputs_);
    ZeroRowsWithoutFactor(B, 3 * width, factors, grad_projected_);
    ZeroRowsWithoutFactor(B, width, factors, mixed_);
    in_proj_.ZeroRejected(B, factors);
    out_proj_.ZeroRejected(B, factors);
  }

 private:
  AttentionLayer(const Attention& attention, const Shape& in,
                 std::size_t offset, std::size_t square)
      : Layer(in, in),
        T_(in[0]),
        d_(in[1]),
        h_(attention.heads),
        e_(d_ / h_),
        causal_(attention.mask == Mask::kCausal),
        scale_(1 / std::sqrt(static_cast<float>(e_))),
        in_bias_(offset + 3 * square),
        out_bias_(in_bias_ + 3 * static_cast<std::size_t>(d_) + square),
        in_proj_({T_, d_, 3 * d_}, {offset, in_bias_}),
        out_proj_({T_, d_, d_},
                  {in_bias_ + 3 * static_cast<std::size_t>(d_), out_bias_}) {}

  // Of one example: rows of q, k and v and of their gradients are 3d apart,
  // those of mixed and its gradient d.
  struct Head {
    const float *q, *k, *v;
    float *grad_q, *grad_k, *grad_v;
    float *shares, *mixed, *grad_mixed;
  };

  std::size_t Square() const {
    return static_cast<std::size_t>(T_) * static_cast<std::size_t>(T_);
  }

  template <typename Each>
  void VisitHeads(int B, const Each& each) const {
    float* shares = shares_;
    for (int b = 0; b < B; ++b)
      for (int head = 0; head < h_; ++head, shares += Square()) {
        const auto first = static_cast<std::size_t>(head * e_);
        const auto d = static_cast<std::size_t>(d_);
        const float* const q = projected_ + 3 * Values(b) + first;
        float* const grad_q = grad_projected_ + 3 * Values(b) + first;
        each({q, q + d, q + 2 * d, grad_q, grad_q + d, grad_q + 2 * d, shares,
              mixed_ + Values(b) + first, grad_mixed_ + Values(b) + first});
      }
  }

  void BackThroughHead(const Head& head) const {
    Product({.rows = T_,
             .columns = e_,
             .inner = T_,
             .transposed_left = true,
             .right_row = d_,
             .result_row = 3 * d_},
            head.shares, head.grad_mixed, head.grad_v);
    Product({.rows = T_,
             .columns = T_,
             .inner = e_,
             .transposed_right = true,
             .left_row = d_,
             .right_row = 3 * d_},
            head.grad_mixed, head.v, grad_scores_);
    for (int t = 0; t < T_; ++t)
      BackThroughSoftmax(T_, scale_, head.shares + t * T_,
                         grad_scores_ + t * T_);
    Product({.rows = T_,
             .columns = e_,
             .inner = T_,
             .right_row = 3 * d_,
             .result_row = 3 * d_},
            grad_scores_, head.k, head.grad_q);
    Product({.rows = T_,
             .columns = e_,
             .inner = T_,
             .transposed_left = true,
             .right_row = 3 * d_,
             .result_row = 3 * d_},
            grad_scores_, head.q, head.grad_k);
  }

  const int T_, d_, h_, e_;
  const bool causal_;
  const float scale_;
  const std::size_t in_bias_;
  const std::size_t out_bias_;
  Linear in_proj_;
  Linear out_proj_;
  float* projected_ = nullptr;       // (B, T, 3d)
  float* grad_projected_ = nullptr;  // (B, T, 3d)
  float* mixed_ = nullptr;           // (B, T, d)
  float* grad_mixed_ = nullptr;      // (B, T, d)
  float* shares_ = nullptr;          // (B, h, T, T)
  float* grad_scores_ = nullptr;     // (T, T), of one head
};

}  // namespace

std::unique_ptr<Layer> MakeAttention(const Attention& attention,
                                     const Shape& in, std::size_t offset) {
  return std::make_unique<AttentionLayer>(attention, in, offset);
}

}  // namespace hearsay::model::cpu
