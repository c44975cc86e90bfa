#include "model/cpu/layers/chain.h"

#include <cassert>
#include <utility>

#include "model/layer_rules.h"

namespace hearsay::model::cpu {

Chain::Chain(const std::vector<model::Layer>& layers, const Shape& in,
             const Place& place) {
  const std::vector<Shape> shapes = ShapesAlong(layers, in);
  std::size_t next = place.offset;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (auto layer = MakeLayer(layers[l], shapes[l], {next, place.masks}))
      layers_.push_back(std::move(layer));
    for (const Parameter& parameter : ParametersOf(layers[l], shapes[l]))
      next += parameter.size();
  }
  assert(!layers_.empty());
}

void Chain::Cut(Cutter& cutter, int max_batch) {
  for (auto& layer : layers_) layer->Cut(cutter, max_batch);
}

void Chain::Forward(const float* weights, int B, const float* in) {
  for (std::size_t l = 0; l < layers_.size(); ++l)
    layers_[l]->Forward(weights, B, InputOf(l, in));
}

void Chain::Backward(const float* weights, int B, const float* in,
                     float* grad_in) {
  for (std::size_t l = layers_.size(); l-- > 0;)
    layers_[l]->Backward(weights, B, InputOf(l, in),
                         l > 0 ? layers_[l - 1]->grad() : grad_in);
}

void Chain::AddSquaredNorms(int B, const float* in, double* squared_norms) {
  for (std::size_t l = 0; l < layers_.size(); ++l)
    layers_[l]->AddSquaredNorms(B, InputOf(l, in), squared_norms);
}

void Chain::AddClippedGradient(int B, const float* in, const float* factors,
                               float* sum) {
  for (std::size_t l = 0; l < layers_.size(); ++l)
    layers_[l]->AddClippedGradient(B, InputOf(l, in), factors, sum);
}

void Chain::ZeroRejected(int B, const float* factors) {
  for (auto& layer : layers_) layer->ZeroRejected(B, factors);
}

}  // namespace hearsay::model::cpu
