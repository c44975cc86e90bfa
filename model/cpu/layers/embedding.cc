// An embedding of codes. What one example adds to the table is a row for each
// code that it has, and a code that it repeats has one row, the sum over its
// places: its norm is the root of their squares, not of each place's.
//
// Shapes: T places, V codes, d units; in (B, T); table (V, d).
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "model/cpu/codes.h"
#include "model/cpu/layers/layer.h"
#include "model/cpu/weight_gradient.h"

namespace hearsay::model::cpu {

namespace {

// Instead of a code whose gradient is with the first of its kind.
constexpr std::int32_t kSeenBefore = -2;

class EmbeddingLayer final : public Layer {
 public:
  EmbeddingLayer(const Embedding& embedding, const Shape& in, const Shape& out,
                 std::size_t offset)
      : Layer(in, out),
        d_(static_cast<std::size_t>(embedding.units)),
        vocabulary_(embedding.vocabulary),
        table_(offset),
        first_(static_cast<std::size_t>(embedding.vocabulary), nullptr) {}

  void Cut(Cutter& cutter, int max_batch) override {
    Layer::Cut(cutter, max_batch);
    codes_ = cutter.TakeAs<std::int32_t>(static_cast<std::size_t>(max_batch) *
                                         inputs_);
  }

  void Forward(const float* weights, int B, const float* in) override {
    const float* const table = weights + table_;
    float* out = out_;
    for (std::size_t i = 0; i < Places(B); ++i, out += d_) {
      codes_[i] = CodeOf(in[i], vocabulary_);
      if (codes_[i] == kNoCode)
        std::fill_n(out, d_, std::numeric_limits<float>::quiet_NaN());
      else
        std::copy_n(table + static_cast<std::size_t>(codes_[i]) * d_, d_, out);
    }
  }

  // Sums up the gradients of repeated codes where the first of them is.
  void Backward(const float*, int B, const float*, float*) override {
    for (int b = 0; b < B; ++b) {
      for (std::size_t i = Places(b); i < Places(b + 1); ++i) {
        if (codes_[i] < 0) continue;
        float*& first = first_[static_cast<std::size_t>(codes_[i])];
        float* const grad = grad_ + i * d_;
        if (first == nullptr) {
          first = grad;
        } else {
          AddTimes(d_, 1, grad, first);
          codes_[i] = kSeenBefore;
        }
      }
      for (std::size_t i = Places(b); i < Places(b + 1); ++i)
        if (codes_[i] >= 0)
          first_[static_cast<std::size_t>(codes_[i])] = nullptr;
    }
  }

  void AddSquaredNorms(int B, const float*, double* squared_norms) override {
    for (int b = 0; b < B; ++b) {
      double squared = 0;
      for (std::size_t i = Places(b); i < Places(b + 1); ++i)
        squared += codes_[i] >= 0 ? SquaredLength(d_, grad_ + i * d_)
                   : codes_[i] == kNoCode
                       ? std::numeric_limits<double>::infinity()
                       : 0;
      squared_norms[b] += squared - squared == 0
                              ? squared
                              : std::numeric_limits<double>::infinity();
    }
  }

  void AddClippedGradient(int B, const float*, const float* factors,
                          float* sum) override {
    float* const table = sum + table_;
    for (int b = 0; b < B; ++b) {
      const float factor = factors == nullptr ? 1 : factors[b];
      if (factor == 0) continue;
      for (std::size_t i = Places(b); i < Places(b + 1); ++i)
        if (codes_[i] >= 0)
          AddTimes(d_, factor, grad_ + i * d_,
                   table + static_cast<std::size_t>(codes_[i]) * d_);
    }
  }

 private:
  std::size_t Places(int B) const {
    return static_cast<std::size_t>(B) * inputs_;
  }

  const std::size_t d_;
  const int vocabulary_;
  const std::size_t table_;
  // For each code the gradient of its first place in one example.
  std::vector<float*> first_;
  std::int32_t* codes_ = nullptr;  // (B, T)
};

}  // namespace

std::unique_ptr<Layer> MakeEmbedding(const Embedding& embedding,
                                     const Shape& in, const Shape& out,
                                     std::size_t offset) {
  return std::make_unique<EmbeddingLayer>(embedding, in, out, offset);
}

}  // namespace hearsay::model::cpu
