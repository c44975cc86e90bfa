// Weights flow one way, with their mass: a node gives half of its mass and of
// mass * weights away, and what arrives is merged in proportion to its mass.
// The sum over all nodes, and over what is on its way, of mass * weights
// changes by gradients only, each scaled by the mass of its node, so a directed
// ring or any other graph ends at the mean.
//
// A message that is lost would take its mass with it. Robust push-sum sends
// cumulative counters, so that the next message carries the lost one's share;
// in float32 such a counter would lose a digit every ten messages. Here what
// was sent is owed, and sent again under its number, until it is acknowledged;
// a number that was seen before is acknowledged and not merged. The sum is as
// exact, and nothing grows.
//
// The live weights are the weights, not their product with the mass: halving
// both leaves them alone, and merging is a correction of gain dm / (m + dm).
// Source: Assran et al. 2019, 1811.10792, algorithm 1; Hadjicostis et al. 2016
// (counters).
#include <cmath>
#include <map>

#include "daemon/mixing/rule.h"

namespace hearsay::mixing {

namespace {

class PushSum final : public Rule {
 public:
  PushSum()
      : Rule("push_sum", {.asks = Habits::Asks::kOnClock,
                          .ask_carries = Carries::kSnapshot,
                          .answer_carries = false,
                          .of_snapshots = true,
                          .has_notes = true,
                          .owes = true}) {}

  Ask OnAsk(Peer peer) override {
    Link& link = links_[peer];
    const bool again = link.owed.has_value();
    if (!again) {
      mass_ /= 2;
      link.owed = Note{++link.sent, mass_};
    }
    return {.note = *link.owed, .again = again};
  }

  Reply OnRequest(Peer peer, const Note& note) const override {
    // No honest node has the mass of more than a few.
    if (!(note.mass > 0 && note.mass <= kMostMass) || note.sequence == 0)
      return {.refused = true};
    const double gain =
        Seen(peer, note) ? 0.0 : note.mass / (mass_ + note.mass);
    return {.correction = {.gain = static_cast<float>(gain)}};
  }

  void OnApplied(Peer peer, const Note& note) override {
    if (Seen(peer, note)) return;
    links_[peer].merged = note.sequence;
    mass_ += note.mass;
  }

  Correction OnAnswer(Peer peer) override {
    links_[peer].owed.reset();
    return {};
  }

 private:
  static constexpr double kMostMass = 64;

  struct Link {
    std::uint64_t sent = 0;    // newest number
    std::optional<Note> owed;  // not yet acknowledged
    std::uint64_t merged = 0;  // newest number of theirs
  };

  bool Seen(Peer peer, const Note& note) const {
    const auto link = links_.find(peer);
    return link != links_.end() && note.sequence <= link->second.merged;
  }

  double mass_ = 1;
  std::map<Peer, Link> links_;
};

}  // namespace

std::unique_ptr<Rule> MakePushSum() { return std::make_unique<PushSum>(); }

}  // namespace hearsay::mixing
