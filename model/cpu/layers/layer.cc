#include "model/cpu/layers/layer.h"

#include "model/cpu/clipping.h"
#include "model/layer_rules.h"

namespace hearsay::model::cpu {

Layer::Layer(const Shape& in, const Shape& out)
    : inputs_(ValuesOf(in)), outputs_(ValuesOf(out)) {}

void Layer::Cut(Cutter& cutter, int max_batch) {
  out_ = cutter.Take(Values(max_batch));
  grad_ = cutter.Take(Values(max_batch));
}

void Layer::AddSquaredNorms(int, const float*, double*) {}

void Layer::AddClippedGradient(int, const float*, const float*, float*) {}

void Layer::ZeroRejected(int B, const float* factors) {
  const int width = static_cast<int>(outputs_);
  ZeroRowsWithoutFactor(B, width, factors, out_);
  ZeroRowsWithoutFactor(B, width, factors, grad_);
}

std::unique_ptr<Layer> MakeLayer(const model::Layer& layer, const Shape& in,
                                 const Place& place) {
  const Shape out = OutputShape(layer, in);
  struct Make {
    const Shape& in;
    const Shape& out;
    const Place& place;
    using Made = std::unique_ptr<Layer>;
    Made operator()(const Dense& l) {
      return MakeDense(l, in, out, place.offset);
    }
    Made operator()(const Conv2d& l) { return MakeConv2d(l, in, out, place); }
    Made operator()(const MaxPool2d& l) {
      return MakeMaxPool2d(l, in, out, place);
    }
    Made operator()(const AvgPool2d& l) { return MakeAvgPool2d(l, in, out); }
    Made operator()(const Flatten&) { return nullptr; }
    Made operator()(const model::Activate& l) { return MakeActivate(l, in); }
    Made operator()(const LayerNorm& l) {
      return MakeLayerNorm(l, in, place.offset);
    }
    Made operator()(const GroupNorm& l) {
      return MakeGroupNorm(l, in, place.offset);
    }
    Made operator()(const Dropout& l) {
      return MakeDropout(l, in, place.masks);
    }
    Made operator()(const Embedding& l) {
      return MakeEmbedding(l, in, out, place.offset);
    }
    Made operator()(const TableEmbedding& l) {
      return MakeTableEmbedding(l, in, out, place.offset);
    }
    Made operator()(const PositionEmbedding& l) {
      return MakePositionEmbedding(l, in, place.offset);
    }
    Made operator()(const Attention& l) {
      return MakeAttention(l, in, place.offset);
    }
    Made operator()(const SequenceMean& l) {
      return MakeSequenceMean(l, in, out);
    }
    Made operator()(const Residual& l) {
      return MakeResidual(l, in, out, place);
    }
  };
  return std::visit(Make{in, out, place}, layer.kind);
}

}  // namespace hearsay::model::cpu
