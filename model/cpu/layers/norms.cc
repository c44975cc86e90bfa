// Layer norm and group norm: normalised runs, times gamma, plus beta.
//
// One example's gradients with respect to gamma and beta are few values, so
// they are formed: the sums, over all places that use an element, of xhat * g
// and of g.
//
// Shapes: W elements each of gamma and beta; layer norm: T places of d = W;
// group norm: C = W channels of n values, in G groups.
#include <limits>
#include <vector>

#include "model/cpu/clipping.h"
#include "model/cpu/layers/layer.h"
#include "model/cpu/normalise.h"
#include "model/cpu/weight_gradient.h"
#include "model/layer_rules.h"

namespace hearsay::model::cpu {

namespace {

class NormLayer : public Layer {
 public:
  void Cut(Cutter& cutter, int max_batch) override {
    Layer::Cut(cutter, max_batch);
    const auto rows = static_cast<std::size_t>(max_batch);
    normalised_ = cutter.Take(Values(max_batch));
    rates_ = cutter.TakeAs<double>(rows * runs_);
    gamma_grads_ = cutter.Take(rows * width_);
    beta_grads_ = cutter.Take(rows * width_);
  }

  void AddSquaredNorms(int B, const float*, double* squared_norms) override {
    for (int b = 0; b < B; ++b) {
      const double squared = SquaredLength(width_, GammaGrad(b)) +
                             SquaredLength(width_, BetaGrad(b));
      squared_norms[b] += squared - squared == 0
                              ? squared
                              : std::numeric_limits<double>::infinity();
    }
  }

  void AddClippedGradient(int B, const float*, const float* factors,
                          float* sum) override {
    AddRows(B, factors, gamma_grads_, sum + gamma_);
    AddRows(B, factors, beta_grads_, sum + beta_);
  }

  void ZeroRejected(int B, const float* factors) override {
    Layer::ZeroRejected(B, factors);
    const auto width = static_cast<int>(width_);
    ZeroRowsWithoutFactor(B, width, factors, gamma_grads_);
    ZeroRowsWithoutFactor(B, width, factors, beta_grads_);
  }

 protected:
  NormLayer(const Shape& shape, std::size_t width, std::size_t runs,
            std::size_t offset)
      : Layer(shape, shape),
        width_(width),
        runs_(runs),
        gamma_(offset),
        beta_(offset + width) {}

  // All runs of example b are as long as each other.
  void NormaliseRuns(int b, const float* in) {
    const std::size_t n = outputs_ / runs_;
    for (std::size_t r = 0; r < runs_; ++r)
      rates_[static_cast<std::size_t>(b) * runs_ + r] =
          Normalise(n, in + Values(b) + r * n, normalised_ + Values(b) + r * n);
  }
  void BackThroughRuns(int b, float* grad_in) const {
    const std::size_t n = outputs_ / runs_;
    for (std::size_t r = 0; r < runs_; ++r)
      BackThroughNormalise(n, rates_[static_cast<std::size_t>(b) * runs_ + r],
                           normalised_ + Values(b) + r * n,
                           grad_ + Values(b) + r * n,
                           grad_in + Values(b) + r * n);
  }
  float* GammaGrad(int b) const {
    return gamma_grads_ + static_cast<std::size_t>(b) * width_;
  }
  float* BetaGrad(int b) const {
    return beta_grads_ + static_cast<std::size_t>(b) * width_;
  }

  const std::size_t width_;  // W
  const std::size_t runs_;
  const std::size_t gamma_;
  const std::size_t beta_;
  float* normalised_ = nullptr;  // (B, values)

 private:
  void AddRows(int B, const float* factors, float* rows, float* to) const {
    const auto width = static_cast<int>(width_);
    if (factors == nullptr)
      AddRowsTo(B, width, rows, to);
    else
      ScaleRowsAndAddTo(B, width, factors, rows, to);
  }

  double* rates_ = nullptr;       // (B, runs)
  float* gamma_grads_ = nullptr;  // (B, W)
  float* beta_grads_ = nullptr;   // (B, W)
};

class LayerNormLayer final : public NormLayer {
 public:
  LayerNormLayer(const Shape& shape, std::size_t offset)
      : NormLayer(shape, static_cast<std::size_t>(shape.back()),
                  ValuesOf(shape) / static_cast<std::size_t>(shape.back()),
                  offset),
        sums_(2 * width_) {}

  void Forward(const float* weights, int B, const float* in) override {
    for (int b = 0; b < B; ++b) NormaliseRuns(b, in);
    const float* const gamma = weights + gamma_;
    const float* const beta = weights + beta_;
    for (std::size_t at = 0; at < Values(B); at += width_)
      for (std::size_t i = 0; i < width_; ++i)
        out_[at + i] = normalised_[at + i] * gamma[i] + beta[i];
  }

  void Backward(const float* weights, int B, const float*,
                float* grad_in) override {
    const float* const gamma = weights + gamma_;
    for (int b = 0; b < B; ++b) {
      SumOverPlaces(b);
      if (grad_in == nullptr) continue;
      for (std::size_t at = Values(b); at < Values(b + 1); at += width_)
        for (std::size_t i = 0; i < width_; ++i) grad_[at + i] *= gamma[i];
      BackThroughRuns(b, grad_in);
    }
  }

 private:
  void SumOverPlaces(int b) {
    std::fill(sums_.begin(), sums_.end(), 0.0);
    double* const gamma = sums_.data();
    double* const beta = gamma + width_;
    for (std::size_t at = Values(b); at < Values(b + 1); at += width_)
      for (std::size_t i = 0; i < width_; ++i) {
        const double g = grad_[at + i];
        gamma[i] += g * normalised_[at + i];
        beta[i] += g;
      }
    for (std::size_t i = 0; i < width_; ++i) {
      GammaGrad(b)[i] = static_cast<float>(gamma[i]);
      BetaGrad(b)[i] = static_cast<float>(beta[i]);
    }
  }

  std::vector<double> sums_;  // (2, W), of one example
};

class GroupNormLayer final : public NormLayer {
 public:
  GroupNormLayer(const GroupNorm& norm, const Shape& shape, std::size_t offset)
      : NormLayer(shape, static_cast<std::size_t>(shape[0]),
                  static_cast<std::size_t>(norm.groups), offset),
        n_(outputs_ / width_) {}

  void Forward(const float* weights, int B, const float* in) override {
    for (int b = 0; b < B; ++b) {
      NormaliseRuns(b, in);
      VisitChannels(b, [&](std::size_t c, std::size_t at) {
        const float gamma = weights[gamma_ + c];
        const float beta = weights[beta_ + c];
        for (std::size_t i = at; i < at + n_; ++i)
          out_[i] = normalised_[i] * gamma + beta;
      });
    }
  }

  void Backward(const float* weights, int B, const float*,
                float* grad_in) override {
    for (int b = 0; b < B; ++b) {
      VisitChannels(b, [&](std::size_t c, std::size_t at) {
        double gamma = 0;
        double beta = 0;
        for (std::size_t i = at; i < at + n_; ++i) {
          const double g = grad_[i];
          gamma += g * normalised_[i];
          beta += g;
          grad_[i] *= weights[gamma_ + c];
        }
        GammaGrad(b)[c] = static_cast<float>(gamma);
        BetaGrad(b)[c] = static_cast<float>(beta);
      });
      if (grad_in != nullptr) BackThroughRuns(b, grad_in);
    }
  }

 private:
  // Calls each(channel, where its values begin).
  template <typename Each>
  void VisitChannels(int b, const Each& each) const {
    for (std::size_t c = 0; c < width_; ++c) each(c, Values(b) + c * n_);
  }

  const std::size_t n_;  // values of a channel
};

}  // namespace

std::unique_ptr<Layer> MakeLayerNorm(const LayerNorm&, const Shape& in,
                                     std::size_t offset) {
  return std::make_unique<LayerNormLayer>(in, offset);
}

std::unique_ptr<Layer> MakeGroupNorm(const GroupNorm& norm, const Shape& in,
                                     std::size_t offset) {
  return std::make_unique<GroupNormLayer>(norm, in, offset);
}

}  // namespace hearsay::model::cpu
