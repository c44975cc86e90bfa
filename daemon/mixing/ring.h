// The ring: live members sorted by name, each followed by the next.
//
// Every node computes it from its own view of who is alive; views that differ
// for a moment cost nothing, because an exchange between any two nodes
// conserves the mean.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace hearsay::mixing {

// The member after `self`; nothing if `self` is alone. `alive` may or may not
// contain `self`, in any order.
std::optional<std::string> RingSuccessor(const std::string& self,
                                         std::vector<std::string> alive);

}  // namespace hearsay::mixing
