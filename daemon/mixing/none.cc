// Nobody asks: every node trains alone. The baseline of every comparison. It
// still answers, and adds nothing, a neighbour that is configured to ask.
#include "daemon/mixing/rule.h"

namespace hearsay::mixing {

namespace {

class None final : public Rule {
 public:
  None() : Rule("none", {}) {}
  Reply OnRequest(Peer, const Note&) const override { return {}; }
};

}  // namespace

std::unique_ptr<Rule> MakeNone() { return std::make_unique<None>(); }

}  // namespace hearsay::mixing
