// One layer of the CPU back end: what it computes, and what each example would
// change of its parameters. model/cpu/network.cc drives the passes, each of
// which needs the ones before it:
//
//   Forward             in -> out()
//   Backward            grad() -> grad_in, and what the next two need
//   AddSquaredNorms     of each example's own gradient
//   AddClippedGradient  the sum of those gradients, each times its factor
//
// The bound of model/network.h is kept layer by layer: the vector that one
// example adds to `sum` is at most (1 + 2^-17) times the norm that was told
// times its factor, rounding included. An example whose contribution cannot be
// computed so exactly is told as infinite.
//
// Shapes: B examples; in and grad_in (B, inputs), out() and grad() (B,
// outputs). `weights` and `sum` are those of the whole model. Threads: one at a
// time.
#pragma once

#include <cstddef>
#include <memory>

#include "model/cpu/cutter.h"
#include "model/cpu/masks.h"
#include "model/spec.h"

namespace hearsay::model::cpu {

class Layer {
 public:
  Layer(const Shape& in, const Shape& out);
  virtual ~Layer() = default;

  // Takes all memory that the calls below use, for up to max_batch examples.
  virtual void Cut(Cutter& cutter, int max_batch);

  virtual void Forward(const float* weights, int B, const float* in) = 0;
  // grad() holds the gradient with respect to out(), and is overwritten.
  // grad_in: overwritten; nullptr where nobody needs it.
  virtual void Backward(const float* weights, int B, const float* in,
                        float* grad_in) = 0;
  // squared_norms (B); infinite for examples that must be rejected.
  virtual void AddSquaredNorms(int B, const float* in, double* squared_norms);
  // factors (B), or nullptr for 1 each, without AddSquaredNorms before it.
  // An example whose factor is 0 adds nothing at all, whatever it holds.
  virtual void AddClippedGradient(int B, const float* in, const float* factors,
                                  float* sum);
  // Clears what is kept of examples whose factor is 0: 0 times infinity or NaN
  // would not be 0.
  virtual void ZeroRejected(int B, const float* factors);

  float* out() const { return out_; }
  float* grad() const { return grad_; }
  std::size_t inputs() const { return inputs_; }
  std::size_t outputs() const { return outputs_; }

 protected:
  std::size_t Values(int B) const {
    return static_cast<std::size_t>(B) * outputs_;
  }

  const std::size_t inputs_;
  const std::size_t outputs_;
  float* out_ = nullptr;
  float* grad_ = nullptr;
};

// Where a layer stands in the whole model, and how it is given and gives images
// (order.h).
struct Place {
  std::size_t offset;  // of its first parameter
  Masks& masks;
  bool takes_channels_last = false;
  bool gives_channels_last = false;
};

// nullptr for a layer that only names its inputs anew (flatten).
std::unique_ptr<Layer> MakeLayer(const model::Layer& layer, const Shape& in,
                                 const Place& place);

// One function a layer type, each in the file of its name or its family's.
std::unique_ptr<Layer> MakeDense(const Dense& dense, const Shape& in,
                                 const Shape& out, std::size_t offset);
std::unique_ptr<Layer> MakeConv2d(const Conv2d& conv, const Shape& in,
                                  const Shape& out, const Place& place);
std::unique_ptr<Layer> MakeMaxPool2d(const MaxPool2d& pool, const Shape& in,
                                     const Shape& out, const Place& place);
std::unique_ptr<Layer> MakeAvgPool2d(const AvgPool2d& pool, const Shape& in,
                                     const Shape& out);
std::unique_ptr<Layer> MakeActivate(const model::Activate& activate,
                                    const Shape& in);
std::unique_ptr<Layer> MakeLayerNorm(const LayerNorm& norm, const Shape& in,
                                     std::size_t offset);
std::unique_ptr<Layer> MakeGroupNorm(const GroupNorm& norm, const Shape& in,
                                     std::size_t offset);
std::unique_ptr<Layer> MakeDropout(const Dropout& dropout, const Shape& in,
                                   Masks& masks);
std::unique_ptr<Layer> MakeEmbedding(const Embedding& embedding,
                                     const Shape& in, const Shape& out,
                                     std::size_t offset);
std::unique_ptr<Layer> MakeTableEmbedding(const TableEmbedding& embedding,
                                          const Shape& in, const Shape& out,
                                          std::size_t offset);
std::unique_ptr<Layer> MakePositionEmbedding(const PositionEmbedding& embedding,
                                             const Shape& in,
                                             std::size_t offset);
std::unique_ptr<Layer> MakeAttention(const Attention& attention,
                                     const Shape& in, std::size_t offset);
std::unique_ptr<Layer> MakeSequenceMean(const SequenceMean& mean,
                                        const Shape& in, const Shape& out);
std::unique_ptr<Layer> MakeResidual(const Residual& residual, const Shape& in,
                                    const Shape& out, const Place& place);

}  // namespace hearsay::model::cpu
