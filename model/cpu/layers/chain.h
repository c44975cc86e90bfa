// Layers one after the other, each on what the one before it made: those of a
// model, or those of a residual block's body. The passes are those of Layer.
#pragma once

#include <memory>
#include <vector>

#include "model/cpu/layers/layer.h"

namespace hearsay::model::cpu {

class Chain {
 public:
  // Parameters begin at place.offset. Requires: a layer that is not flatten.
  Chain(const std::vector<model::Layer>& layers, const Shape& in,
        const Place& place);

  void Cut(Cutter& cutter, int max_batch);
  void Forward(const float* weights, int B, const float* in);
  // Of last().grad(), which is overwritten, as those of all layers.
  void Backward(const float* weights, int B, const float* in, float* grad_in);
  void AddSquaredNorms(int B, const float* in, double* squared_norms);
  void AddClippedGradient(int B, const float* in, const float* factors,
                          float* sum);
  void ZeroRejected(int B, const float* factors);

  const Layer& last() const { return *layers_.back(); }

 private:
  const float* InputOf(std::size_t layer, const float* in) const {
    return layer == 0 ? in : layers_[layer - 1]->out();
  }

  std::vector<std::unique_ptr<Layer>> layers_;
};

}  // namespace hearsay::model::cpu
