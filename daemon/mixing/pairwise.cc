// Both sides move half way to each other: the two corrections are opposite, so
// the mean of all nodes is conserved exactly, whatever the delay.
//
// With momentum (momentum.h) a correction of the twin has a gain that follows
// from the asker's round trip. Its two ends have to use the same one, or the
// mean would drift towards the nodes with the smaller gain: so an ask says it.
#include "daemon/mixing/momentum.h"
#include "daemon/mixing/rule.h"

namespace hearsay::mixing {

namespace {

Habits HabitsOf(Momentum momentum) {
  const bool acid = momentum == Momentum::kAcid;
  return {.asks = Habits::Asks::kOnClock,
          .ask_carries = Carries::kSnapshot,
          .of_snapshots = true,
          .has_notes = acid,
          .has_twin = acid};
}

// No ring that is of use is larger.
double MostGain() {
  static const double most = RingAcid(100'000).gain;
  return most;
}

class Pairwise final : public Rule {
 public:
  explicit Pairwise(Momentum momentum) : Rule("pairwise", HabitsOf(momentum)) {}

  void OnPace(const Pace& pace) override {
    acid_ = Scaled(RingAcid(pace.members), pace.delay);
  }
  double eta() const override { return acid_.eta; }

  Ask OnAsk(Peer) override {
    asked_gain_ = acid_.gain;
    return {.note = {.twin_gain = asked_gain_}};
  }

  Reply OnRequest(Peer, const Note& note) const override {
    if (!habits().has_twin) return {.correction = {.gain = kHalf}};
    if (!(note.twin_gain >= 0.5 && note.twin_gain <= MostGain()))
      return {.refused = true};
    return {.correction = Both(note.twin_gain)};
  }

  Correction OnAnswer(Peer) override { return Both(asked_gain_); }

 private:
  static constexpr float kHalf = 0.5F;

  static Correction Both(double twin_gain) {
    return {.gain = kHalf, .twin_gain = static_cast<float>(twin_gain)};
  }

  Acid acid_;
  double asked_gain_ = 0.5;
};

}  // namespace

std::unique_ptr<Rule> MakePairwise() {
  return std::make_unique<Pairwise>(Momentum::kOff);
}

std::unique_ptr<Rule> MakePairwiseAcid() {
  return std::make_unique<Pairwise>(Momentum::kAcid);
}

}  // namespace hearsay::mixing
