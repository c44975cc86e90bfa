// The one interface of all compute back ends (model/cpu now, model/cuda later):
// given weights and examples, the sum of clipped per-example gradients, or a
// prediction, or an evaluation.
//
// One backward pass: per-example gradient norms come from the layer inputs and
// output gradients which that pass already has, and the clipped sum is the same
// weight-gradient product with rescaled rows ("book-keeping": Bu et al. 2022,
// arXiv:2210.00038; ghost norms: Goodfellow 2015, arXiv:1510.01799).
//
// Shapes: B examples, I inputs, O outputs, P parameters; row-major float32.
// Threads: one Network is used by one thread at a time; several may exist.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "model/clipping.h"
#include "model/frozen.h"
#include "model/spec.h"
#include "model/workers.h"

namespace hearsay::model {

// Views; the caller keeps them alive for the call. B may be 0.
struct Batch {
  int count = 0;                    // B
  std::span<const float> features;  // (B, I)
  // Softmax cross-entropy: (B) class index; binary: (B) 0 or 1; MSE: (B, O).
  std::span<const float> labels;
};

// What a private step saw. Egress class of every field: private.
struct ClippedSumStatistics {
  double loss_sum = 0;
  double bounded_loss_sum = 0;  // No example adds more than the loss bound.
  int clipped = 0;  // Examples whose gradient norm exceeded what it may be.
  // Examples left out: their loss or gradient is not finite, or a layer's input
  // or gradient is longer than 2^48, where float32 could break the bound.
  int rejected = 0;

  // Of two parts of a batch.
  void operator+=(const ClippedSumStatistics& other) {
    loss_sum += other.loss_sum;
    bounded_loss_sum += other.bounded_loss_sum;
    clipped += other.clipped;
    rejected += other.rejected;
  }
};

struct Evaluation {
  double loss_sum = 0;
  std::int64_t correct = 0;  // 0 for MSE
  std::int64_t count = 0;
};

// 256 secret bits, for one step only.
using StepKey = std::array<std::uint32_t, 8>;

class Network {
 public:
  virtual ~Network() = default;

  // What the masks of dropout are drawn from in the calls that follow, up to
  // the next key; these count the step's examples as they come. To be called
  // before the calls that train a model with dropout; others need it not.
  //
  // Masks go by an example's number in the step, so that leaving one out gives
  // others to those behind it. That tells nothing of the one: while masks are
  // independent and nobody knows them, a sum is distributed as if every example
  // had drawn its own. So the key must be secret, and never used twice.
  virtual void BeginStep(const StepKey& /*key*/) {}

  // Adds to `sum` (P) the sum over the batch of clipped gradients, each of one
  // example's own loss; flat:
  //   grad_b * min(1, clipping.norm / |grad_b|)
  // No example adds a vector longer than that norm, rounding included (that of
  // adding it to a sum excepted: it can move the sum's own last bits).
  // Requires: clipping.norm > 0, sizes as above, batch.count <= max_batch,
  // labels in range; on a GPU, flat clipping.
  virtual ClippedSumStatistics AddClippedSum(std::span<const float> weights,
                                             const Batch& batch,
                                             const Clipping& clipping,
                                             std::span<float> sum) = 0;
  // Flat.
  ClippedSumStatistics AddClippedSum(std::span<const float> weights,
                                     const Batch& batch, double clip_norm,
                                     std::span<float> sum) {
    return AddClippedSum(weights, batch, Clipping{clip_norm}, sum);
  }

  // The same without clipping or rejection, returning the sum of losses: plain
  // SGD, for comparison and pooled baselines.
  virtual double AddSum(std::span<const float> weights, const Batch& batch,
                        std::span<float> sum) = 0;

  // Per-example gradient norms (B), as AddClippedSum uses them; infinite for
  // those that it would reject.
  virtual void GradientNorms(std::span<const float> weights, const Batch& batch,
                             std::span<float> norms) = 0;

  // Last layer's values before the loss: logits or regression outputs (B, O).
  virtual void Predict(std::span<const float> weights, int count,
                       std::span<const float> features,
                       std::span<float> outputs) = 0;

  virtual Evaluation Evaluate(std::span<const float> weights,
                              const Batch& batch) = 0;
};

// Allocates everything for batches of up to `max_batch`; no call allocates.
// With frozen layers P counts the others' parameters only, and norms are
// theirs. It computes on its caller's thread, or on `workers`, where the last
// bits of sums may differ from call to call. Throws: std::invalid_argument,
// std::bad_alloc; std::runtime_error for a BLAS that is not safe to use.
std::unique_ptr<Network> MakeCpuNetwork(
    const ModelSpec& spec, int max_batch, const Frozen& frozen = {},
    const std::shared_ptr<Workers>& workers = nullptr);

}  // namespace hearsay::model
