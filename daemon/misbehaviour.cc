#include "daemon/misbehaviour.h"

#include <algorithm>
#include <limits>

namespace hearsay::daemon {

void Misbehaviour::Spoil(std::span<float> array, std::uint64_t& version) {
  constexpr float kHuge = 1e6F;
  if (kind_ == "nan") {
    array[array.size() / 2] = std::numeric_limits<float>::quiet_NaN();
  } else if (kind_ == "huge") {
    for (float& value : array) value = kHuge * (1 + value);
  } else if (kind_ == "stale") {
    if (first_.empty()) {
      first_.assign(array.begin(), array.end());
      first_version_ = version;
    }
    std::copy(first_.begin(), first_.end(), array.begin());
    version = first_version_;
  }
}

}  // namespace hearsay::daemon
