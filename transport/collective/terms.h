// What a group can be: which terms this node can meet, and whether a proposal
// is what it has been asked for. Pure.
#pragma once

#include <cstddef>
#include <string>

#include "transport/collective/collective.h"
#include "transport/control_messages.h"

namespace hearsay::transport::collective {

// What anybody may ask others to wait for a round, or for a group.
inline constexpr Milliseconds kMaxLimit{std::chrono::hours{1}};

struct TermsLimits {
  std::size_t array_bytes = 0;    // of the longest array
  std::size_t largest_piece = 0;  // that the network carries
};

// Throws: std::invalid_argument, as Collectives::Form; for `self`.
void CheckTerms(const std::string& name, const Terms& terms,
                const std::string& self, const TermsLimits& limits);

// What the proposal has and this node's caller has not, both values; "" if they
// agree.
std::string Difference(const RoundProposal& proposal, const Terms& terms);

}  // namespace hearsay::transport::collective
