#include "transport/collective/terms.h"

#include <set>
#include <stdexcept>

namespace hearsay::transport::collective {
namespace {

std::string Joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

std::string NameOf(Operation operation) {
  return operation == Operation::kSum ? "all-reduce" : "broadcast";
}

}  // namespace

std::string Difference(const RoundProposal& proposal, const Terms& terms) {
  const auto differ = [](const std::string& what, const std::string& theirs,
                         const std::string& ours) {
    return what + ": proposed " + theirs + ", here " + ours;
  };
  if (proposal.members != terms.members)
    return differ("members", Joined(proposal.members), Joined(terms.members));
  const auto operation = static_cast<Operation>(proposal.operation);
  if (operation != terms.operation)
    return differ("operation", NameOf(operation), NameOf(terms.operation));
  if (proposal.bytes != terms.bytes)
    return differ("bytes", std::to_string(proposal.bytes),
                  std::to_string(terms.bytes));
  if (proposal.voted != (terms.outcome == Round::Outcome::kAgreed))
    return differ("vote", proposal.voted ? "yes" : "no",
                  proposal.voted ? "no" : "yes");
  const auto algorithm = static_cast<Algorithm>(proposal.algorithm);
  if (IsBroadcast(algorithm) != (operation == Operation::kBroadcast))
    return "algorithm " + std::string(Name(algorithm)) + " is for no " +
           NameOf(operation);
  return {};
}

void CheckTerms(const std::string& name, const Terms& terms,
                const std::string& self, const TermsLimits& limits) {
  const auto fail = [&](const std::string& what) {
    throw std::invalid_argument("transport: group " + name + ": " + what);
  };
  if (!IsName(name)) fail("its name must be printable, without spaces");
  if (terms.members.empty() || terms.members.size() > kMaxMembers)
    fail(std::to_string(terms.members.size()) + " members, allowed are 1 to " +
         std::to_string(kMaxMembers));
  const std::set<std::string> different(terms.members.begin(),
                                        terms.members.end());
  if (different.size() != terms.members.size())
    fail("a member twice: " + Joined(terms.members));
  if (!different.contains(self))
    fail(self + " is not among its members: " + Joined(terms.members));
  if (terms.bytes > limits.array_bytes)
    fail(std::to_string(terms.bytes) + " bytes, allowed are " +
         std::to_string(limits.array_bytes));
  if (terms.operation == Operation::kSum && terms.bytes % sizeof(float) != 0)
    fail(std::to_string(terms.bytes) + " bytes are no float32 array");
  if (terms.piece_bytes > limits.largest_piece ||
      terms.piece_bytes % sizeof(float) != 0)
    fail("pieces of " + std::to_string(terms.piece_bytes) +
         " bytes, allowed are multiples of 4 up to " +
         std::to_string(limits.largest_piece));
  if (terms.algorithm && IsBroadcast(*terms.algorithm) !=
                             (terms.operation == Operation::kBroadcast))
    fail("its algorithm does not do what it is for");
  if (terms.operation == Operation::kBroadcast &&
      terms.outcome != Round::Outcome::kAgreed)
    fail("a broadcast needs the vote");
}

}  // namespace hearsay::transport::collective
