// Only the asking side moves (the seed's original direction): half the bytes,
// and the mean is conserved only on average, if all nodes ask equally often.
//
// The answer is younger than what the asker knew when it asked, by the time the
// request took. Held against that it would count the peer's steps of meanwhile
// as disagreement: all nodes would move by up to a quarter too far, and carry
// as much more noise. So it is held against the middle of then and now.
#include "daemon/mixing/rule.h"

namespace hearsay::mixing {

namespace {

class OneWay final : public Rule {
 public:
  OneWay()
      : Rule("one_way",
             {.asks = Habits::Asks::kOnClock, .common_interval = true}) {}

  Reply OnRequest(Peer, const Note&) const override { return {}; }
  Correction OnAnswer(Peer) override {
    return {.gain = 0.5F, .reference = Reference::kMidway};
  }
};

}  // namespace

std::unique_ptr<Rule> MakeOneWay() { return std::make_unique<OneWay>(); }

}  // namespace hearsay::mixing
