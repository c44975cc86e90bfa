// A foil: one node serves. A worker sends what its step has changed, the server
// adds it to its own weights and answers with them, and the worker goes on from
// there: its trainer waits, and for ever if the server is dead. The server's
// link carries everybody's arrays.
// Source: Dean et al. 2012 (Downpour SGD), one pull and push a step.
#include "daemon/mixing/rule.h"

namespace hearsay::mixing {

namespace {

class ParameterServer final : public Rule {
 public:
  explicit ParameterServer(Seat seat)
      : Rule("parameter_server",
             {.asks = seat == Seat::kWorker ? Habits::Asks::kAfterStep
                                            : Habits::Asks::kNever,
              .ask_carries = Carries::kChange,
              .answers_after = true}),
        serves_(seat == Seat::kServer) {}

  Reply OnRequest(Peer, const Note&) const override {
    if (!serves_) return {.refused = true};
    return {.correction = {.gain = 1, .reference = Reference::kNothing}};
  }
  Correction OnAnswer(Peer) override {
    return {.gain = 1, .reference = Reference::kLive};
  }

 private:
  const bool serves_;
};

}  // namespace

std::unique_ptr<Rule> MakeParameterServer(Seat seat) {
  return std::make_unique<ParameterServer>(seat);
}

}  // namespace hearsay::mixing
