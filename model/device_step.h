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
#include <optional>
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

// A sum of integers with exact noise (dp/grid_sum.h has the terms and says
// what they promise): the gradient of every example by itself, in grid steps
// towards zero, and a discrete Gaussian.
struct DeviceGrid {
  std::int64_t reach = 1;  // the clip norm, in grid steps: 1 to 2^30
  int log_sigma = 0;       // of the noise, 2^log_sigma grid steps: 0 to 30
  // What the length of a clipped gradient is multiplied with, for rounding.
  double margin = 1;
};

struct DeviceStepTerms {
  double clip_norm = 1;
  // Of the sum, each element; 0 adds nothing. A grid has its own.
  double noise_stddev = 0;
  double scale = 1;  // of the noised sum: the gradient
  // The resident weights become weights - rate * gradient; 0 leaves them.
  double learning_rate = 0;
  std::optional<DeviceGrid> grid = std::nullopt;
};

class DeviceStep {
 public:
  virtual ~DeviceStep() = default;

  // The resident weights (P).
  virtual void SetWeights(std::span<const float> weights) = 0;
  virtual void GetWeights(std::span<float> weights) = 0;

  // Begins one step on the examples `rows` (indices below N; any number, may be
  // none) and returns before it has ended. `key` is copied and forgotten.
  // Throws: std::invalid_argument for terms with a grid, unless it was made for
  // such, and then for others.
  virtual void Begin(std::span<const std::uint32_t> rows, const NoiseKey& key,
                     const DeviceStepTerms& terms) = 0;
  // Waits for it. (P): the noised, scaled sum.
  virtual void GetGradient(std::span<float> gradient) = 0;
  // Of all steps since the last call; waits. Egress class: private.
  virtual ClippedSumStatistics TakeStatistics() = 0;
};

}  // namespace hearsay::model
