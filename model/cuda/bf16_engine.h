// The clipped sum of a stack of dense layers over rows of a shard that lies on
// the device in bf16, and the update (bf16.h).
//
// Threads: one at a time; everything is put on the stream that is given.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/cuda/api.h"
#include "model/cuda/bf16.h"
#include "model/cuda/device.h"

namespace hearsay::model::cuda {

class Bf16Engine {
 public:
  // Of layers and examples that were checked. The device keeps its own labels.
  // Throws: std::runtime_error (no memory, a batch or a last layer too
  // large).
  Bf16Engine(const Plan& plan, const Examples& shard, const float* labels,
             float* weights);

  // After `weights` were set from outside.
  void WeightsChanged(cudaStream_t stream);
  // Three parts, in this order. `rows`: max_batch of them, of which those
  // beyond the head's count are zero_row().
  void Backward(cudaStream_t stream, const StepHead* head,
                const std::uint32_t* rows);
  void Clip(cudaStream_t stream, const StepHead* head, std::uint32_t* rows,
            StepTotals* totals);
  void Sum(cudaStream_t stream, const StepHead* head, const std::uint32_t* rows,
           const OuterTerms& terms);

  std::uint32_t zero_row() const { return network_.zero_row; }

 private:
  void Allocate(const Plan& plan);
  void UploadShard(const Examples& shard);
  void ChooseShapes();

  struct Buffers {
    Memory<Bf16> rounded, out, z;
    Memory<double> in_squares, grad_squares;
  };
  Bf16Network network_;
  std::vector<Buffers> buffers_;
  Memory<Bf16> grads_;
  Memory<Bf16> shard_;
  Memory<double> shard_squares_;
  Memory<float> losses_;
  // The quickest of each product.
  std::vector<int> project_shapes_, back_shapes_;
  int outer_shape_ = 0;
};

}  // namespace hearsay::model::cuda
