// A dense layer, on flat inputs or at every place of a sequence.
//
// Shapes: T places (1 where flat) of I inputs, U units; weight (U, I), bias
// (U).
#include "model/cpu/activations.h"
#include "model/cpu/layers/layer.h"
#include "model/cpu/linear.h"

namespace hearsay::model::cpu {

namespace {

class DenseLayer final : public Layer {
 public:
  DenseLayer(const Dense& dense, const Shape& in, const Shape& out,
             std::size_t offset)
      : Layer(in, out),
        T_(in.size() == 1 ? 1 : in[0]),
        U_(dense.units),
        activation_(dense.activation),
        bias_(offset + static_cast<std::size_t>(U_) *
                           static_cast<std::size_t>(in.back())),
        linear_({T_, in.back(), U_}, {offset, bias_}) {}

  void Cut(Cutter& cutter, int max_batch) override {
    z_ = cutter.Take(Values(max_batch));
    out_ = KeepsInput(activation_) ? cutter.Take(Values(max_batch)) : z_;
    grad_ = cutter.Take(Values(max_batch));
    linear_.Cut(cutter, max_batch);
  }

  void Forward(const float* weights, int B, const float* in) override {
    if (!linear_.adds_bias()) {
      linear_.Forward(weights, B, in, z_);
      AddBiasAndActivate(activation_, B * T_, U_, weights + bias_, z_, out_);
      return;
    }
    const bool relu = activation_ == Activation::kRelu;
    linear_.ForwardWithBias(weights, B, in, relu, z_);
    if (!relu) Activate(activation_, Values(B), z_, out_);
  }

  void Backward(const float* weights, int B, const float*,
                float* grad_in) override {
    MultiplyByDerivative(activation_, Values(B), z_, out_, grad_, grad_);
    linear_.Backward(weights, B, grad_, grad_in);
  }

  void AddSquaredNorms(int B, const float* in, double* squared_norms) override {
    linear_.AddSquaredNorms(B, in, grad_, squared_norms);
  }

  void AddClippedGradient(int B, const float* in, const float* factors,
                          float* sum) override {
    linear_.AddClippedGradient(B, in, grad_, factors, sum);
  }

  void ZeroRejected(int B, const float* factors) override {
    Layer::ZeroRejected(B, factors);
    linear_.ZeroRejected(B, factors);
  }

 private:
  const int T_;
  const int U_;
  const Activation activation_;
  const std::size_t bias_;
  Linear linear_;
  float* z_ = nullptr;  // (B, T, U) before the activation; often == out_
};

}  // namespace

std::unique_ptr<Layer> MakeDense(const Dense& dense, const Shape& in,
                                 const Shape& out, std::size_t offset) {
  return std::make_unique<DenseLayer>(dense, in, out, offset);
}

}  // namespace hearsay::model::cpu
