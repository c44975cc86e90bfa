// A foil: AD-PSGD as published. After each of its steps an active node meets a
// passive one, under both their locks, and both go on from the mean: a dead or
// frozen peer stops the trainer. Without the two parts a ring in which all wait
// for their next one waits for ever.
// Source: Lian et al. 2018, 1710.06952, algorithm 1 and 3.2.
#include "daemon/mixing/rule.h"

namespace hearsay::mixing {

namespace {

class SymmetricBlocking final : public Rule {
 public:
  SymmetricBlocking()
      : Rule("symmetric_blocking", {.asks = Habits::Asks::kAfterStep,
                                    .ask_carries = Carries::kSnapshot,
                                    .every_other = true,
                                    .one_at_a_time = true}) {}

  Reply OnRequest(Peer, const Note&) const override {
    return {.correction = {.gain = 0.5F}};
  }
  Correction OnAnswer(Peer) override { return {.gain = 0.5F}; }
};

}  // namespace

std::unique_ptr<Rule> MakeSymmetricBlocking() {
  return std::make_unique<SymmetricBlocking>();
}

}  // namespace hearsay::mixing
