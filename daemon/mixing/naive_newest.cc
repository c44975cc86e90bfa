// A foil: what one would write first. Every node sends its weights to the next
// one, and on its own clock sets its weights to the average of them and the
// newest that it has received. That copy is old, so each average undoes half of
// what was learnt since it was made: with steps and exchanges equally often the
// error of the mean halves in 255 steps instead of 139 (mixing.md 2).
#include "daemon/mixing/rule.h"

namespace hearsay::mixing {

namespace {

class NaiveNewest final : public Rule {
 public:
  NaiveNewest()
      : Rule("naive_newest",
             {.asks = Habits::Asks::kOnClock,
              .ask_carries = Carries::kSnapshot,
              .answer_carries = false,
              .keeps_newest = true,
              .tick = {.gain = 0.5F, .reference = Reference::kLive}}) {}

  Reply OnRequest(Peer, const Note&) const override { return {}; }
};

}  // namespace

std::unique_ptr<Rule> MakeNaiveNewest() {
  return std::make_unique<NaiveNewest>();
}

}  // namespace hearsay::mixing
