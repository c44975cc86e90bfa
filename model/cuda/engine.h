// Forward, backward, norms and clipped sums of a stack of dense layers, on
// buffers of the device that are allocated once. What runs on them, and where
// the examples come from, is for network.cc and step.cc.
//
// Threads: one at a time; everything is put on the stream that is given.
#pragma once

#include <vector>

#include "model/cuda/api.h"
#include "model/cuda/gemm.h"
#include "model/cuda/kernels.h"

namespace hearsay::model::cuda {

class Engine {
 public:
  // Throws: std::runtime_error (no memory).
  explicit Engine(const Plan& plan);

  // The passes, each of which needs the ones before it.
  void Forward(cudaStream_t stream);
  // `totals` may be null.
  void Losses(cudaStream_t stream, const StepHead* head, StepTotals* totals);
  void Backward(cudaStream_t stream);
  void Clip(cudaStream_t stream, const StepHead* head, float* norms,
            StepTotals* totals, bool clip);
  // sum (P) = beta sum + gradients. Beta is 0 or 1. Products that do not depend
  // on each other run on streams of their own.
  void SumGradients(cudaStream_t stream, float beta);

  const Plan& plan() const { return plan_; }
  // What the clip norm is multiplied with, so that rounding cannot exceed it.
  double margin() const;
  float* weights() const { return weights_.get(); }
  float* sum() const { return sum_.get(); }
  float* features() const { return features_.get(); }  // (max_batch, I)
  float* labels() const { return labels_.get(); }      // (max_batch, W)
  const float* outputs() const;                        // (max_batch, O)

 private:
  struct Layer {
    LayerPlan plan;
    Memory<float> z;     // (B, U); unless kept apart, out too
    Memory<float> out;   // (B, U) for gelu, whose derivative needs z
    Memory<float> grad;  // (B, U)
    bool fused = false;  // bias and relu in the product
    bool biased = false;
    float* result() const { return out.size() > 0 ? out.get() : z.get(); }
  };
  float* InputOf(std::size_t layer) const {
    return layer == 0 ? features_.get() : layers_[layer - 1].result();
  }
  void MakeProducts();
  bool rounds() const { return plan_.precision != Precision::kFloat32; }

  const Plan plan_;
  Memory<float> weights_, sum_, features_, labels_, losses_;
  std::vector<Layer> layers_;
  LayerViews views_;

  // A side for each product that may run beside others.
  struct Side {
    Stream stream;
    Event done;
    Memory<std::byte> workspace;
  };
  Lt lt_;
  Memory<std::byte> workspace_;
  std::vector<Side> sides_;
  Event forked_;
  std::vector<Gemm> forward_, backward_, outer_;
};

}  // namespace hearsay::model::cuda
