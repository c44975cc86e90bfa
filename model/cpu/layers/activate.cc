// An activation as a layer of its own.
#include "model/cpu/activations.h"
#include "model/cpu/layers/layer.h"

namespace hearsay::model::cpu {

namespace {

class ActivateLayer final : public Layer {
 public:
  ActivateLayer(Activation activation, const Shape& shape)
      : Layer(shape, shape), activation_(activation) {}

  void Forward(const float*, int B, const float* in) override {
    cpu::Activate(activation_, Values(B), in, out_);
  }

  void Backward(const float*, int B, const float* in, float* grad_in) override {
    if (grad_in == nullptr) return;
    MultiplyByDerivative(activation_, Values(B), in, out_, grad_, grad_in);
  }

 private:
  const Activation activation_;
};

}  // namespace

std::unique_ptr<Layer> MakeActivate(const model::Activate& activate,
                                    const Shape& in) {
  return std::make_unique<ActivateLayer>(activate.activation, in);
}

}  // namespace hearsay::model::cpu
