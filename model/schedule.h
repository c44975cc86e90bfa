// How the learning rate changes over the steps: what the rate of the
// configuration is multiplied by at each.
//
// Public numbers only, so a schedule costs no privacy. A function of the step
// alone, with no state: a resumed run goes on where it was. After a warm-up the
// curves are PyTorch's, counted from its end: CosineAnnealingLR, StepLR.
#pragma once

#include <cstdint>

namespace hearsay::model {

struct Schedule {
  enum class Kind {
    kConstant,
    kCosine,  // from 1 to `floor` at the last step: Loshchilov and Hutter 2017,
              // arXiv:1608.03983, without restarts
    kStep,    // times `factor` every `every` steps
  };
  Kind kind = Kind::kConstant;
  std::uint64_t warmup_steps = 0;  // 1/n, 2/n, ... 1 over the first n
  std::uint64_t steps = 0;         // of the whole run; kCosine only
  double floor = 0;                // kCosine only, [0, 1]
  std::uint64_t every = 0;         // kStep only
  double factor = 0.1;             // kStep only, (0, 1]
  bool operator==(const Schedule&) const = default;
};

// Throws: std::invalid_argument that names the field.
void Validate(const Schedule& schedule);

// At step 0, 1, ... Requires: a valid schedule. In [0, 1].
double RateFactor(const Schedule& schedule, std::uint64_t step);

}  // namespace hearsay::model
