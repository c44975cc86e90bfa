// Both sides move half way to each other: the two corrections are opposite, so
// the mean of all nodes is conserved exactly, whatever the delay.
#include "daemon/mixing/rule.h"

namespace hearsay::mixing {

namespace {

class Pairwise final : public Rule {
 public:
  std::string name() const override { return "pairwise"; }
  bool Asks() const override { return true; }
  bool AskCarriesSnapshot() const override { return true; }
  float ask_gain() const override { return 0.5F; }
  float answer_gain() const override { return 0.5F; }
  bool NeedsCommonInterval() const override { return false; }
};

}  // namespace

std::unique_ptr<Rule> MakePairwise() { return std::make_unique<Pairwise>(); }

}  // namespace hearsay::mixing
