// Where the trainer's gradients come from: private data (private_gradient) or,
// for experiments on the machinery itself, a probe.
#pragma once

#include <cstdint>
#include <span>

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

  // Training has ended in order: what was paid for and not used is given back.
  // Throws: dp::LedgerError.
  virtual void Finish() {}
};

}  // namespace hearsay::daemon
