// A mixing rule: what an exchange carries and what each side adds.
//
// Pure: no I/O, no clock, no array; the daemon and the simulator drive the same
// code. An exchange of node i with its peer j, in general:
//   1. i copies what an ask carries, and asks;
//   2. j copies its weights S_j, adds the correction of OnRequest, answers;
//   3. i adds the correction of OnAnswer, whatever its weights have become.
// A correction is gain * (theirs - reference). Where the reference is the
// snapshot of the same moment as theirs, no step is undone however old both
// are; the foils differ in just that. Source: mixing.md 3 and 4.
//
// Threads: one a rule, as all its state is one node's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hearsay::mixing {

// A member, by a number that the driver keeps for it.
using Peer = std::uint64_t;

// What travels beside an array, for rules that need it. Egress: public; a gain
// follows from the number of members, an interval and a round trip.
struct Note {
  std::uint64_t sequence = 0;
  double mass = 0;
  double twin_gain = 0;
};

// What the driver has measured of a node's exchanges.
struct Pace {
  std::size_t members = 1;  // that mix, this one too
  // From asking to the answer, in intervals; half of one until it is known.
  double delay = 0.5;
};

enum class Carries {
  kNothing,
  kSnapshot,  // the live weights, copied now
  kChange,    // what was added to them since the last answer came
};

enum class Reference {
  kSnapshot,  // one's own, taken when this exchange began
  kLive,      // what the weights are when the correction is made
  // Half way between these two: what the weights were when the peer's snapshot
  // was taken, if a message takes as long there as back.
  kMidway,
  kNothing,  // zero
};

struct Correction {
  float gain = 0;  // 0: adds nothing
  Reference reference = Reference::kSnapshot;
  float twin_gain = 0;  // of the second array, where there is one
};

struct Ask {
  Note note = {};
  // The last array to this peer once more: it was not acknowledged.
  bool again = false;
};

struct Reply {
  Correction correction = {};
  bool refused = false;  // The note is not an honest node's.
};

// What does not change in a rule's life.
struct Habits {
  enum class Asks {
    kNever,
    kOnClock,    // jittered, about every interval
    kAfterStep,  // and the trainer waits for the answer
  };
  Asks asks = Asks::kNever;
  Carries ask_carries = Carries::kNothing;
  // If not, an answer only acknowledges.
  bool answer_carries = true;
  // It carries the weights as they are with the correction made, not before.
  bool answers_after = false;
  // Every correction is of the difference of two snapshots, each taken before
  // the other array had arrived.
  bool of_snapshots = false;
  // The mean's weights depend on the nodes' intervals, so all must use the
  // same: the largest proposed in the cluster.
  bool common_interval = false;
  // Only every other member asks, by its place among all, sorted by name.
  bool every_other = false;
  // Of a ring of an odd number the last one does not: it would ask the first,
  // and be asked by it, and both would wait.
  bool MayAsk(std::size_t place, std::size_t members) const {
    return !every_other || place == 0 ||
           (place % 2 == 0 && (members % 2 == 0 || place + 1 < members));
  }
  // A request is answered only when no exchange of one's own is under way.
  bool one_at_a_time = false;
  // The newest array asked with is kept, and used at each of one's own ticks.
  bool keeps_newest = false;
  Correction tick = {};
  bool has_notes = false;  // with each array asked with
  // What was asked with is kept until it is acknowledged, to be sent again.
  bool owes = false;
  // Beside its weights a node keeps a second array (mixing/momentum.h): each
  // update is added to both, a correction with a gain for each, and the two are
  // blended all the time. It is never sent.
  bool has_twin = false;

  enum class Meets {
    kNever,
    kGradients,  // each step: the sum of all, then everybody takes one step
    kWeights,    // every `meet_every` steps: the mean of all, then goes on
  };
  // Trainers wait for each other.
  Meets meets = Meets::kNever;
  std::uint64_t meet_every = 1;
};

class Rule {
 public:
  explicit Rule(std::string name, const Habits& habits)
      : name_(std::move(name)), habits_(habits) {}
  virtual ~Rule() = default;
  Rule(const Rule&) = delete;
  Rule& operator=(const Rule&) = delete;

  const std::string& name() const { return name_; }
  const Habits& habits() const { return habits_; }

  // Before each ask.
  virtual void OnPace(const Pace&) {}
  // Of the blend of a node's two arrays, an interval.
  virtual double eta() const { return 0; }

  // An exchange of this node's own begins.
  virtual Ask OnAsk(Peer) { return {}; }
  // What this node would do with a request; nothing is done yet.
  virtual Reply OnRequest(Peer, const Note&) const = 0;
  // The array was fit and the correction is made.
  virtual void OnApplied(Peer, const Note&) {}
  // The peer answered, with an array or to acknowledge.
  virtual Correction OnAnswer(Peer) { return {}; }

 private:
  const std::string name_;
  const Habits habits_;
};

// One file each. Of the rules only the first four are meant for use; the others
// are what they are compared with.
std::unique_ptr<Rule> MakePairwise();
std::unique_ptr<Rule> MakePairwiseAcid();
std::unique_ptr<Rule> MakeOneWay();
std::unique_ptr<Rule> MakePushSum();
std::unique_ptr<Rule> MakeNone();
std::unique_ptr<Rule> MakeNaiveNewest();
std::unique_ptr<Rule> MakeSymmetricBlocking();
std::unique_ptr<Rule> MakeAllReduce();
std::unique_ptr<Rule> MakeLocalSgd(std::uint64_t every_steps);
enum class Seat { kServer, kWorker };
std::unique_ptr<Rule> MakeParameterServer(Seat seat);

// All of them, by name.
enum class RuleKind {
  kPairwise,
  kOneWay,
  kPushSum,
  kNone,
  kNaiveNewest,
  kSymmetricBlocking,
  kAllReduce,
  kLocalSgd,
  kParameterServer,
};
std::optional<RuleKind> ParseRule(std::string_view word);
const char* Word(RuleKind kind);
std::vector<std::string> RuleWords();

// A second array beside the weights (momentum.h): none, or A2CiD2's.
enum class Momentum { kOff, kAcid };

// What a node is to its rule.
struct Place {
  Seat seat = Seat::kWorker;
  std::uint64_t meet_every = 1;
  Momentum momentum = Momentum::kOff;  // of pairwise only
};
std::unique_ptr<Rule> MakeRule(RuleKind kind, const Place& place = {});

}  // namespace hearsay::mixing
