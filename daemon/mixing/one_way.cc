// Only the asking side moves (the seed's original direction): half the bytes,
// and the mean is conserved only on average, if all nodes ask equally often.
#include "daemon/mixing/rule.h"

namespace hearsay::mixing {

namespace {

class OneWay final : public Rule {
 public:
  std::string name() const override { return "one_way"; }
  bool Asks() const override { return true; }
  bool AskCarriesSnapshot() const override { return false; }
  float ask_gain() const override { return 0.5F; }
  float answer_gain() const override { return 0.0F; }
  bool NeedsCommonInterval() const override { return true; }
};

}  // namespace

std::unique_ptr<Rule> MakeOneWay() { return std::make_unique<OneWay>(); }

}  // namespace hearsay::mixing
