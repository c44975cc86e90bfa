// Where the trainer's gradients come from: private data (private_gradient) or,
// for experiments on the machinery itself, a probe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hearsay::daemon {

class GradientSource {
 public:
  enum class Outcome {
    kGradient,   // `gradient` was written.
    kExhausted,  // No budget for one more step; nothing was computed.
  };

  virtual ~GradientSource() = default;

  // Overwrites `gradient` with that of one step at `weights`. `steps_wanted`
  // (>= 1) is how many steps the run still wants, this one included.
  // Throws: dp::LedgerError, when the step cannot be accounted for.
  // Threads: the trainer's.
  virtual Outcome Compute(std::span<const float> weights,
                          std::uint64_t steps_wanted,
                          std::span<float> gradient) = 0;

  // What a resumed run needs of it beside the weights, for checkpoints. Egress
  // class: released. Threads: the trainer's, or none is running.
  struct State {
    std::string name;
    std::vector<float> values;
  };
  virtual std::vector<State> Kept() const { return {}; }
  // `states`: of a checkpoint, others' too. What is not there stays as it is.
  virtual void Restore(std::span<const State> /*states*/) {}

  // Training has ended in order: what was paid for and not used is given back.
  // Throws: dp::LedgerError.
  virtual void Finish() {}
};

}  // namespace hearsay::daemon
