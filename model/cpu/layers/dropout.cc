// Dropout: each value times the factor that the example's own mask has for it.
#include <algorithm>

#include "model/cpu/layers/layer.h"

namespace hearsay::model::cpu {

namespace {

class DropoutLayer final : public Layer {
 public:
  DropoutLayer(const Dropout& dropout, const Shape& shape, Masks& masks)
      : Layer(shape, shape),
        rate_(dropout.rate),
        masks_(masks),
        stream_(masks.NewStream()) {}

  void Cut(Cutter& cutter, int max_batch) override {
    Layer::Cut(cutter, max_batch);
    factors_ = cutter.Take(Values(max_batch));
  }

  void Forward(const float*, int B, const float* in) override {
    if (!masks_.on()) {
      std::copy_n(in, Values(B), out_);
      return;
    }
    for (int b = 0; b < B; ++b)
      masks_.Draw(stream_, b, rate_, outputs_, factors_ + Values(b));
    for (std::size_t i = 0; i < Values(B); ++i) out_[i] = in[i] * factors_[i];
  }

  void Backward(const float*, int B, const float*, float* grad_in) override {
    if (grad_in == nullptr) return;
    for (std::size_t i = 0; i < Values(B); ++i)
      grad_in[i] = grad_[i] * factors_[i];
  }

 private:
  const double rate_;
  const Masks& masks_;
  const std::uint32_t stream_;
  float* factors_ = nullptr;  // (B, values)
};

}  // namespace

std::unique_ptr<Layer> MakeDropout(const Dropout& dropout, const Shape& in,
                                   Masks& masks) {
  return std::make_unique<DropoutLayer>(dropout, in, masks);
}

}  // namespace hearsay::model::cpu
