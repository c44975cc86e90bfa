// A residual block: what its body makes of the inputs, plus the inputs, or plus
// their projection.
#include <algorithm>

#include "model/cpu/layers/chain.h"
#include "model/layer_rules.h"

namespace hearsay::model::cpu {

namespace {

void AddTo(std::size_t n, const float* x, float* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] += x[i];
}

class ResidualLayer final : public Layer {
 public:
  ResidualLayer(const Residual& residual, const Shape& in, const Shape& out,
                const Place& place)
      : Layer(in, out), body_(residual.body, in, place) {
    if (residual.projection == Extent{0, 0}) return;
    std::size_t offset = place.offset;
    for (const Parameter& parameter : ParametersAlong(residual.body, in))
      offset += parameter.size();
    projection_ =
        MakeConv2d(ProjectionOf(residual, in), in, out, {offset, place.masks});
  }

  void Cut(Cutter& cutter, int max_batch) override {
    Layer::Cut(cutter, max_batch);
    body_.Cut(cutter, max_batch);
    if (projection_ == nullptr) return;
    projection_->Cut(cutter, max_batch);
    grad_beside_ = cutter.Take(static_cast<std::size_t>(max_batch) * inputs_);
  }

  void Forward(const float* weights, int B, const float* in) override {
    body_.Forward(weights, B, in);
    std::copy_n(body_.last().out(), Values(B), out_);
    if (projection_ == nullptr) return AddTo(Values(B), in, out_);
    projection_->Forward(weights, B, in);
    AddTo(Values(B), projection_->out(), out_);
  }

  void Backward(const float* weights, int B, const float* in,
                float* grad_in) override {
    std::copy_n(grad_, Values(B), body_.last().grad());
    body_.Backward(weights, B, in, grad_in);
    if (projection_ == nullptr) {
      if (grad_in != nullptr) AddTo(Values(B), grad_, grad_in);
      return;
    }
    std::copy_n(grad_, Values(B), projection_->grad());
    projection_->Backward(weights, B, in,
                          grad_in == nullptr ? nullptr : grad_beside_);
    if (grad_in != nullptr)
      AddTo(static_cast<std::size_t>(B) * inputs_, grad_beside_, grad_in);
  }

  void AddSquaredNorms(int B, const float* in, double* squared_norms) override {
    body_.AddSquaredNorms(B, in, squared_norms);
    if (projection_ != nullptr)
      projection_->AddSquaredNorms(B, in, squared_norms);
  }

  void AddClippedGradient(int B, const float* in, const float* factors,
                          float* sum) override {
    body_.AddClippedGradient(B, in, factors, sum);
    if (projection_ != nullptr)
      projection_->AddClippedGradient(B, in, factors, sum);
  }

  void ZeroRejected(int B, const float* factors) override {
    Layer::ZeroRejected(B, factors);
    body_.ZeroRejected(B, factors);
    if (projection_ != nullptr) projection_->ZeroRejected(B, factors);
  }

 private:
  Chain body_;
  std::unique_ptr<Layer> projection_;
  float* grad_beside_ = nullptr;  // (B, inputs), with respect to in
};

}  // namespace

std::unique_ptr<Layer> MakeResidual(const Residual& residual, const Shape& in,
                                    const Shape& out, const Place& place) {
  return std::make_unique<ResidualLayer>(residual, in, out, place);
}

}  // namespace hearsay::model::cpu
