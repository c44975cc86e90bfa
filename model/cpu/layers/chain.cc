#include "model/cpu/layers/chain.h"

#include <cassert>
#include <utility>

#include "model/cpu/layers/order.h"
#include "model/layer_rules.h"

namespace hearsay::model::cpu {

Chain::Chain(const std::vector<model::Layer>& given, const Shape& in,
             const Place& place, Frozen frozen)
    : frozen_(std::move(frozen)) {
  const std::vector<model::Layer> layers = PoolsFirst(given);
  const std::vector<Shape> shapes = ShapesAlong(layers, in);
  const std::vector<bool> channels_last = GivesChannelsLast(layers, shapes);
  std::size_t trained = place.offset, constant = 0;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const bool is_frozen = frozen_.Has(l);
    std::size_t& next = is_frozen ? constant : trained;
    const auto parameters = ParametersOf(layers[l], shapes[l]);
    const Place at{next, place.masks, l > 0 && channels_last[l - 1],
                   channels_last[l]};
    if (auto layer = MakeLayer(layers[l], shapes[l], at)) {
      if (!is_frozen && !parameters.empty()) parts_.push_back(layers_.size());
      layers_.push_back(std::move(layer));
      is_frozen_.push_back(is_frozen);
    }
    for (const Parameter& parameter : parameters) next += parameter.size();
  }
  assert(!layers_.empty());
  if (!frozen_.layers.empty() && !parts_.empty()) lowest_ = parts_.front();
}

void Chain::Cut(Cutter& cutter, int max_batch) {
  for (auto& layer : layers_) layer->Cut(cutter, max_batch);
}

void Chain::Forward(const float* weights, int B, const float* in) {
  for (std::size_t l = 0; l < layers_.size(); ++l)
    layers_[l]->Forward(WeightsOf(l, weights), B, InputOf(l, in));
}

void Chain::Backward(const float* weights, int B, const float* in,
                     float* grad_in) {
  for (std::size_t l = layers_.size(); l-- > lowest_;) {
    float* const below = l > 0 ? layers_[l - 1]->grad() : grad_in;
    layers_[l]->Backward(WeightsOf(l, weights), B, InputOf(l, in),
                         l == lowest_ && l > 0 ? nullptr : below);
  }
}

void Chain::AddSquaredNorms(int B, const float* in, double* squared_norms) {
  for (std::size_t part = 0; part < parts_.size(); ++part)
    AddSquaredNormsOf(part, B, in, squared_norms);
}

void Chain::AddClippedGradient(int B, const float* in, const float* factors,
                               float* sum) {
  for (std::size_t part = 0; part < parts_.size(); ++part)
    AddClippedGradientOf(part, B, in, factors, sum);
}

void Chain::AddSquaredNormsOf(std::size_t part, int B, const float* in,
                              double* squared_norms) {
  const std::size_t l = parts_[part];
  layers_[l]->AddSquaredNorms(B, InputOf(l, in), squared_norms);
}

void Chain::AddClippedGradientOf(std::size_t part, int B, const float* in,
                                 const float* factors, float* sum) {
  const std::size_t l = parts_[part];
  layers_[l]->AddClippedGradient(B, InputOf(l, in), factors, sum);
}

void Chain::ZeroRejected(int B, const float* factors) {
  for (auto& layer : layers_) layer->ZeroRejected(B, factors);
}

}  // namespace hearsay::model::cpu
