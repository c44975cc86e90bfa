// Layers one after the other, each on what the one before it made: those of a
// model, or those of a residual block's body. The passes are those of Layer.
// Frozen ones have parameters of their own, and take no part in the last two;
// below the lowest that is trained nothing is passed back.
#pragma once

#include <memory>
#include <vector>

#include "model/cpu/layers/layer.h"
#include "model/frozen.h"

namespace hearsay::model::cpu {

class Chain {
 public:
  // Parameters begin at place.offset. Requires: a layer that is not flatten.
  Chain(const std::vector<model::Layer>& layers, const Shape& in,
        const Place& place, Frozen frozen = {});

  void Cut(Cutter& cutter, int max_batch);
  void Forward(const float* weights, int B, const float* in);
  // Of last().grad(), which is overwritten, as those of all layers.
  void Backward(const float* weights, int B, const float* in, float* grad_in);
  void AddSquaredNorms(int B, const float* in, double* squared_norms);
  void AddClippedGradient(int B, const float* in, const float* factors,
                          float* sum);
  void ZeroRejected(int B, const float* factors);

  // The trained layers that have parameters, and the same of one of them.
  std::size_t parts() const { return parts_.size(); }
  void AddSquaredNormsOf(std::size_t part, int B, const float* in,
                         double* squared_norms);
  void AddClippedGradientOf(std::size_t part, int B, const float* in,
                            const float* factors, float* sum);

  const Layer& last() const { return *layers_.back(); }

 private:
  const float* InputOf(std::size_t layer, const float* in) const {
    return layer == 0 ? in : layers_[layer - 1]->out();
  }
  const float* WeightsOf(std::size_t layer, const float* weights) const {
    return is_frozen_[layer] ? frozen_.values.data() : weights;
  }

  const Frozen frozen_;
  std::vector<std::unique_ptr<Layer>> layers_;  // without those that do nothing
  std::vector<bool> is_frozen_;                 // by entry of layers_
  std::vector<std::size_t> parts_;              // of layers_
  std::size_t lowest_ = 0;  // of layers_ that need what is passed back
};

}  // namespace hearsay::model::cpu
