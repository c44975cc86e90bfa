// Slow momentum of the rounds in which all members average: with x where the
// last round left them and m their mean now, u <- beta u + (x - m), and all go
// on from x - u. With beta = 0 that is m.
// Source: Wang et al. 2020 (SlowMo), 1910.00643, algorithm 1, with alpha = 1
// and u scaled by the learning rate.
#pragma once

#include <span>
#include <vector>

namespace hearsay::mixing {

class SlowMomentum {
 public:
  explicit SlowMomentum(float beta) : beta_(beta) {}

  // The next round does not follow on the last one: begin anew.
  void Forget() { from_.clear(); }
  // `mean` becomes where all go on from. Shapes: the same each time.
  void Move(std::span<float> mean);

 private:
  const float beta_;
  std::vector<float> from_;  // empty: no round yet
  std::vector<float> speed_;
};

// The mean of `members` arrays from their sum, in place.
void Share(std::span<float> sum, std::size_t members);

}  // namespace hearsay::mixing
