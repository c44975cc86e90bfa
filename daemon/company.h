// Whom a trainer waits for. Nobody, in Hearsay's own rules; the synchronous
// ones that it is compared with, and a resync that blocks, meet the others
// here.
#pragma once

#include <cstdint>
#include <span>

namespace hearsay::daemon {

// Threads: the trainer's.
class Company {
 public:
  virtual ~Company() = default;

  // Puts the mean of all members' gradients in the place of this node's, where
  // the rule is to. False: training has ended meanwhile, the step is not taken.
  // Throws: std::runtime_error with who could not be met, and why.
  virtual bool OnGradient(std::span<float> gradient) = 0;
  // `step` steps have been taken. As above.
  virtual bool OnStep(std::uint64_t step) = 0;
};

}  // namespace hearsay::daemon
