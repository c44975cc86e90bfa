// Nobody asks: every node trains alone. The baseline of every comparison. It
// still answers, with gain 0, a neighbour that is configured to ask.
#include "daemon/mixing/rule.h"

namespace hearsay::mixing {

namespace {

class None final : public Rule {
 public:
  std::string name() const override { return "none"; }
  bool Asks() const override { return false; }
  bool AskCarriesSnapshot() const override { return false; }
  float ask_gain() const override { return 0.0F; }
  float answer_gain() const override { return 0.0F; }
  bool NeedsCommonInterval() const override { return false; }
};

}  // namespace

std::unique_ptr<Rule> MakeNone() { return std::make_unique<None>(); }

}  // namespace hearsay::mixing
