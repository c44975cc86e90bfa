// A dense layer on flat inputs: three matrix products, and norms that are never
// formed (model/cpu/clipping.h).
//
// Shapes: I inputs, U units; weight (U, I), bias (U).
#include "model/cpu/activations.h"
#include "model/cpu/clipping.h"
#include "model/cpu/gemm.h"
#include "model/cpu/layers/layer.h"

namespace hearsay::model::cpu {

namespace {

class DenseLayer final : public Layer {
 public:
  DenseLayer(const Dense& dense, const Shape& in, const Shape& out,
             std::size_t offset)
      : Layer(in, out),
        I_(in[0]),
        U_(dense.units),
        activation_(dense.activation),
        weight_(offset),
        bias_(offset + inputs_ * outputs_) {}

  void Cut(Cutter& cutter, int max_batch) override {
    z_ = cutter.Take(Values(max_batch));
    out_ = KeepsInput(activation_) ? cutter.Take(Values(max_batch)) : z_;
    grad_ = cutter.Take(Values(max_batch));
  }

  void Forward(const float* weights, int B, const float* in) override {
    Project(B, I_, U_, in, weights + weight_, z_);
    AddBiasAndActivate(activation_, B, U_, weights + bias_, z_, out_);
  }

  void Backward(const float* weights, int B, const float*,
                float* grad_in) override {
    MultiplyByDerivative(activation_, Values(B), z_, out_, grad_);
    if (grad_in != nullptr)
      ProjectBack(B, I_, U_, grad_, weights + weight_, grad_in);
  }

  void AddSquaredNorms(int B, const float* in, double* squared_norms) override {
    cpu::AddSquaredNorms(B, I_, U_, in, grad_, squared_norms);
  }

  void AddClippedGradient(int B, const float* in, const float* factors,
                          float* sum) override {
    if (factors == nullptr)
      AddRowsTo(B, U_, grad_, sum + bias_);
    else
      ScaleRowsAndAddTo(B, U_, factors, grad_, sum + bias_);
    AddOuterProducts(B, I_, U_, grad_, in, sum + weight_);
  }

 private:
  const int I_;
  const int U_;
  const Activation activation_;
  const std::size_t weight_;
  const std::size_t bias_;
  float* z_ = nullptr;  // (B, U) before the activation; often == out_
};

}  // namespace

std::unique_ptr<Layer> MakeDense(const Dense& dense, const Shape& in,
                                 const Shape& out, std::size_t offset) {
  return std::make_unique<DenseLayer>(dense, in, out, offset);
}

}  // namespace hearsay::model::cpu
