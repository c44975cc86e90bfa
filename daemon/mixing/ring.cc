#include "daemon/mixing/ring.h"

#include <algorithm>

namespace hearsay::mixing {

std::optional<std::string> RingSuccessor(const std::string& self,
                                         std::vector<std::string> alive) {
  std::erase(alive, self);
  if (alive.empty()) return std::nullopt;
  std::sort(alive.begin(), alive.end());
  const auto next = std::upper_bound(alive.begin(), alive.end(), self);
  return next == alive.end() ? alive.front() : *next;
}

}  // namespace hearsay::mixing
