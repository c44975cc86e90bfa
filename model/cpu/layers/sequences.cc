// What else there is for sequences: a learned vector for each place, and the
// mean over the places.
//
// Shapes: T places of d values.
#include <algorithm>
#include <limits>

#include "model/cpu/clipping.h"
#include "model/cpu/layers/layer.h"
#include "model/cpu/weight_gradient.h"

namespace hearsay::model::cpu {

namespace {

// The gradient of one example's table is grad() itself.
class PositionEmbeddingLayer final : public Layer {
 public:
  PositionEmbeddingLayer(const Shape& shape, std::size_t offset)
      : Layer(shape, shape), table_(offset) {}

  void Forward(const float* weights, int B, const float* in) override {
    const float* const table = weights + table_;
    for (std::size_t at = 0; at < Values(B); at += outputs_)
      for (std::size_t i = 0; i < outputs_; ++i)
        out_[at + i] = in[at + i] + table[i];
  }

  void Backward(const float*, int B, const float*, float* grad_in) override {
    if (grad_in != nullptr) std::copy_n(grad_, Values(B), grad_in);
  }

  void AddSquaredNorms(int B, const float*, double* squared_norms) override {
    for (int b = 0; b < B; ++b) {
      const double squared = SquaredLength(outputs_, grad_ + Values(b));
      squared_norms[b] += squared - squared == 0
                              ? squared
                              : std::numeric_limits<double>::infinity();
    }
  }

  void AddClippedGradient(int B, const float*, const float* factors,
                          float* sum) override {
    const auto width = static_cast<int>(outputs_);
    if (factors == nullptr)
      AddRowsTo(B, width, grad_, sum + table_);
    else
      ScaleRowsAndAddTo(B, width, factors, grad_, sum + table_);
  }

 private:
  const std::size_t table_;
};

class SequenceMeanLayer final : public Layer {
 public:
  SequenceMeanLayer(const Shape& in, const Shape& out)
      : Layer(in, out), share_(1.0f / static_cast<float>(in[0])) {}

  void Forward(const float*, int B, const float* in) override {
    std::fill_n(out_, Values(B), 0.0f);
    VisitPlaces(B, [&](std::size_t at, std::size_t to) {
      AddTimes(outputs_, share_, in + at, out_ + to);
    });
  }

  void Backward(const float*, int B, const float*, float* grad_in) override {
    if (grad_in == nullptr) return;
    VisitPlaces(B, [&](std::size_t at, std::size_t from) {
      for (std::size_t i = 0; i < outputs_; ++i)
        grad_in[at + i] = share_ * grad_[from + i];
    });
  }

 private:
  // Calls each(where a place's values begin, and those of its mean).
  template <typename Each>
  void VisitPlaces(int B, const Each& each) const {
    const std::size_t all = static_cast<std::size_t>(B) * inputs_;
    for (std::size_t at = 0; at < all; at += outputs_)
      each(at, at / inputs_ * outputs_);
  }

  const float share_;
};

}  // namespace

std::unique_ptr<Layer> MakePositionEmbedding(const PositionEmbedding&,
                                             const Shape& in,
                                             std::size_t offset) {
  return std::make_unique<PositionEmbeddingLayer>(in, offset);
}

std::unique_ptr<Layer> MakeSequenceMean(const SequenceMean&, const Shape& in,
                                        const Shape& out) {
  return std::make_unique<SequenceMeanLayer>(in, out);
}

}  // namespace hearsay::model::cpu
