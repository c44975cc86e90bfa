// Foils in which all trainers meet: the synchronous rules. What moves is in
// their habits; the sums are the transport's.
#include "daemon/mixing/rule.h"

namespace hearsay::mixing {

namespace {

class Collective final : public Rule {
 public:
  using Rule::Rule;
  Reply OnRequest(Peer, const Note&) const override { return {}; }
};

}  // namespace

// DP-SGD in step: each node's clipped gradient has its own noise, all are
// summed each step, and everybody takes the same step.
std::unique_ptr<Rule> MakeAllReduce() {
  return std::make_unique<Collective>(
      "all_reduce", Habits{.meets = Habits::Meets::kGradients});
}

// Everybody trains alone for a while, then all go on from their mean (Stich
// 2018, 1805.09767).
std::unique_ptr<Rule> MakeLocalSgd(std::uint64_t every_steps) {
  return std::make_unique<Collective>(
      "local_sgd",
      Habits{.meets = Habits::Meets::kWeights, .meet_every = every_steps});
}

}  // namespace hearsay::mixing
