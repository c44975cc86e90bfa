#include "daemon/mixing/slow_momentum.h"

#include <cassert>
#include <cstddef>

namespace hearsay::mixing {

void SlowMomentum::Move(std::span<float> mean) {
  if (beta_ == 0) return;
  if (from_.empty()) {
    speed_.assign(mean.size(), 0);
  } else {
    assert(from_.size() == mean.size());
    for (std::size_t i = 0; i < mean.size(); ++i) {
      speed_[i] = beta_ * speed_[i] + (from_[i] - mean[i]);
      mean[i] = from_[i] - speed_[i];
    }
  }
  from_.assign(mean.begin(), mean.end());
}

void Share(std::span<float> sum, std::size_t members) {
  const float share = 1.0F / static_cast<float>(members);
  for (float& value : sum) value *= share;
}

}  // namespace hearsay::mixing
