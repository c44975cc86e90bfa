// Turns a (noised, averaged) gradient into an update to add to the weights.
//
// The weights themselves are not seen: other threads add to them meanwhile, so
// an optimiser here only ever produces a difference. Its state stays local to a
// node. Sources: SGD with momentum as PyTorch defines it (v = m v + g;
// update = -lr v); Adam: Kingma and Ba 2015, arXiv:1412.6980, Algorithm 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace hearsay::model {

struct OptimizerSpec {
  enum class Kind { kSgd, kAdam };
  Kind kind = Kind::kSgd;
  double learning_rate = 0.1;
  double momentum = 0.0;  // SGD only, [0, 1)
  double beta1 = 0.9;     // Adam only
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

// A named float array that a checkpoint must save and restore. Names begin with
// "optimizer." and differ between kinds.
struct OptimizerState {
  std::string name;
  std::span<float> values;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Overwrites `update` (P) with what is to be added to the weights.
  // Requires: both of size P.
  virtual void Update(std::span<const float> gradient,
                      std::span<float> update) = 0;
  // Views of everything that a resumed run needs, beside the step count.
  virtual std::vector<OptimizerState> State() = 0;
  virtual std::uint64_t steps() const = 0;
  virtual void set_steps(std::uint64_t steps) = 0;
};

// Throws: std::invalid_argument for rates out of range.
std::unique_ptr<Optimizer> MakeOptimizer(const OptimizerSpec& spec,
                                         std::size_t parameters);

}  // namespace hearsay::model
