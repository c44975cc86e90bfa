// The ways of taking a step, or a slice of one: what is put on a stream between
// what the host tells and a gradient that is noised. step.cc chooses one.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "model/cuda/api.h"
#include "model/cuda/kernels.h"

namespace hearsay::model::cuda {

// What a slice is told: a head, and the numbers of up to max_batch rows.
struct Told {
  const StepHead* head = nullptr;
  std::uint32_t* rows = nullptr;  // Passes may overwrite them.
};

class Passes {
 public:
  virtual ~Passes() = default;

  // Puts one slice on the stream; `told` is read when it gets there. After the
  // last one of a step: gradient() = (sum + noise) scale, and the weights move.
  // `count`: of the head, where it is known by now.
  virtual void Enqueue(cudaStream_t stream, const Told& told, int count,
                       bool first, bool last, StepTotals* totals) = 0;
  // Whether the device reads what is told from the host's memory as it goes,
  // and one launch is all there is: no graph then.
  virtual bool direct() const { return false; }
  // The number of the rows that `told` is filled up with.
  virtual std::uint32_t padding_row() const { return 0; }
  virtual void WeightsChanged(cudaStream_t) {}

  virtual float* weights() const = 0;         // (P)
  virtual const float* gradient() const = 0;  // (P)
};

// Any stack of dense layers, by cuBLAS: float32 or TF32.
std::unique_ptr<Passes> MakeDensePasses(const Plan& plan,
                                        const Examples& shard);
// On tensor cores, in bf16.
std::unique_ptr<Passes> MakeBf16Passes(const Plan& plan, const Examples& shard);
// Null if the model is not small. Float32, whatever the precision.
std::unique_ptr<Passes> MakeSmallPasses(const Plan& plan,
                                        const Examples& shard);

}  // namespace hearsay::model::cuda
