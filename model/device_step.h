// A whole private step on an accelerator, on a shard that lives there: rows are
// gathered, their gradients clipped and summed, noise added, and the weights
// moved, without a byte leaving the device in between.
//
// What randomness and budget are is the caller's business: it draws the rows,
// gives a fresh key for the noise of every step, and has charged the ledger
// before it calls (privacy.md 4 and 6). This only expands the key.
//
// Shapes: N rows of I features; P parameters; row-major float32.
// Threads: one at a time. Errors: std::runtime_error when the device fails.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "model/network.h"

namespace hearsay::model {

// Equal keys give equal noise.
using NoiseKey = StepKey;

// What products multiply: float32, or values rounded to 10 or 7 bits behind the
// point, on tensor cores. Sums are of float32, and no example adds more than
// the clip norm in any of them.
enum class Precision { kFloat32, kTf32, kBf16 };
const char* Word(Precision precision);  // "float32", "tf32", "bf16"

struct DeviceStepTerms {
  double clip_norm = 1;
  double noise_stddev = 0;  // of the sum, each element; 0 adds nothing
  double scale = 1;         // of the noised sum: the gradient
  // The resident weights become weights - rate * gradient; 0 leaves them.
  double learning_rate = 0;
};

class DeviceStep {
 public:
  virtual ~DeviceStep() = default;

  // The resident weights (P).
  virtual void SetWeights(std::span<const float> weights) = 0;
  virtual void GetWeights(std::span<float> weights) = 0;

  // Begins one step on the examples `rows` (indices below N; any number, may be
  // none) and returns before it has ended. `key` is copied and forgotten.
  virtual void Begin(std::span<const std::uint32_t> rows, const NoiseKey& key,
                     const DeviceStepTerms& terms) = 0;
  // Waits for it. (P): the noised, scaled sum.
  virtual void GetGradient(std::span<float> gradient) = 0;
  // Of all steps since the last call; waits. Egress class: private.
  virtual ClippedSumStatistics TakeStatistics() = 0;
};

}  // namespace hearsay::model
