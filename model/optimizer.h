// Turns a (noised, averaged) gradient into an update to add to the weights.
//
// Other threads add to the weights meanwhile, so an optimiser only ever
// produces a difference; it sees the weights that the gradient was taken at and
// no others. Its state stays local to a node: neighbours mix weights, never
// moments (ops/decisions/0032). All of it is post-processing of noised
// gradients, so that none of it costs privacy.
//
// Sources: SGD with momentum, Nesterov's too, as PyTorch defines it (v = m v +
// g; update = -lr v, or -lr (g + m v)); Adam: Kingma and Ba 2015,
// arXiv:1412.6980, Algorithm 1; AdamW: Loshchilov and Hutter 2019,
// arXiv:1711.05101, decay times the learning rate as PyTorch has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/schedule.h"

namespace hearsay::model {

struct OptimizerSpec {
  enum class Kind { kSgd, kAdam, kAdamW };
  Kind kind = Kind::kSgd;
  double learning_rate = 0.1;
  double momentum = 0.0;  // SGD only, [0, 1)
  bool nesterov = false;  // SGD with momentum only
  double beta1 = 0.9;     // Adam and AdamW
  double beta2 = 0.999;
  double epsilon = 1e-8;
  // AdamW only: of the weights themselves, a step of rate 1.
  double weight_decay = 0.01;
  Schedule schedule = {};
};

// A named float array that a checkpoint must save and restore. Names begin with
// "optimizer."; Adam and AdamW have the same, and may go on from each other's.
struct OptimizerState {
  std::string name;
  std::span<float> values;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Overwrites `update` (P) with what is to be added to the weights.
  // `weights`: those that the gradient was taken at.
  // Requires: all of size P.
  virtual void Update(std::span<const float> weights,
                      std::span<const float> gradient,
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
