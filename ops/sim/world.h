// Nodes under virtual time: trainers, exchanges by the rules of daemon/mixing,
// meetings, a network, and what goes wrong. The second driver of the rules
// beside daemon/exchange_passes: what is said there about arrays holds here for
// arrays of doubles.
//
// world.cc: time, trainers and incidents; world_exchange.cc: exchanges and the
// network; world_meetings.cc: barriers and full averages.
//
// Deterministic: the same settings are the same result. Threads: one.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/mixing/rule.h"
#include "daemon/mixing/slow_momentum.h"
#include "daemon/mixing/topology.h"
#include "ops/sim/calendar.h"
#include "ops/sim/chance.h"
#include "ops/sim/result.h"
#include "ops/sim/settings.h"
#include "ops/sim/task.h"

namespace hearsay::sim {

class World {
 public:
  // `progress` is told the virtual time and the result so far, now and then.
  // Throws: std::invalid_argument for settings that cannot be.
  using Progress = std::function<void(double time, const Result& so_far)>;
  explicit World(const Settings& settings, Progress progress = nullptr);

  Result Run();

 private:
  enum Kind : std::uint32_t {
    kStep,      // of a node: it is done
    kTick,      // of a node: an exchange
    kRequest,   // of an exchange: it has come
    kAnswer,    // of an exchange: it has come
    kLate,      // of an exchange: its deadline
    kMet,       // a meeting's sum is there
    kAveraged,  // an overlapped average's sum is there
    kSample,
    kIncident,  // of the list
    kKnown,     // of a node: the others know that it has failed
  };

  struct Node {
    std::unique_ptr<mixing::Rule> rule;
    Chance chance;
    double step_time = 0;
    double scale = 1;     // of its steps: objective "nodes"
    double out_free = 0;  // when its link can send again
    double in_free = 0;
    double thaws = 0;    // frozen until then
    double blended = 0;  // when its momentum was
    double bytes = 0;
    std::uint64_t steps = 0;
    std::uint64_t round = 0;  // of its exchanges
    std::uint32_t place = 0;  // among the members
    std::uint32_t in_flight = 0;
    bool alive = true;
    bool done = false;     // trains no more
    bool arrived = false;  // at a meeting
    bool waits = false;    // its trainer, for an exchange
    bool has_newest = false;
  };
  struct Exchange {
    std::uint32_t from = 0, to = 0;
    mixing::Note note;
    double asked = 0;
  };
  enum Part { kSent, kMine, kAnswered };

  // world.cc
  void BeginStep(std::uint32_t i);
  void OnStep(std::uint32_t i);
  void AfterStep(std::uint32_t i);
  void Continue(std::uint32_t i);
  void End(std::uint32_t i, const std::string& failure);
  double StepTime(Node& node);
  void OnIncident(const Settings::Incident& incident);
  void OnKnown(std::uint32_t i);
  void Reckon();  // who are members
  void Sample();
  bool Over() const;
  void Handle(const Event& event);
  // world_exchange.cc
  void OnTick(std::uint32_t i);
  std::optional<std::uint32_t> PeerOf(std::uint32_t i);
  bool Ask(std::uint32_t i);
  void OnRequest(std::uint32_t slot);
  void OnAnswer(std::uint32_t slot);
  void OnLate(std::uint32_t slot);
  void Finish(std::uint32_t slot);
  void UseNewest(std::uint32_t i);
  // False if it is lost; else `event` happens when it comes.
  bool Transmit(std::uint32_t from, std::uint32_t to, double bytes, Kind event,
                std::uint32_t slot);
  double Apply(std::uint32_t i, const mixing::Correction& correction,
               std::span<const double> theirs, std::span<const double> mine);
  std::uint32_t Take();
  void Give(std::uint32_t slot);
  std::span<double> Array(std::uint32_t slot, Part part);
  bool Parted(std::uint32_t a, std::uint32_t b) const;
  // Momentum's two arrays, if there are two, as they are now.
  void Blend(std::uint32_t i);
  // world_meetings.cc
  void Arrive(std::uint32_t i);
  void CheckMeeting();
  void OnMet();
  void BeginAverage();
  void OnAveraged();
  double SumTime(std::size_t members) const;
  void MoveSlowly(std::span<double> mean);
  void Gather(std::uint32_t i);
  void Settle(std::uint32_t i);

  std::span<double> Of(std::vector<double>& arrays, std::uint32_t i) {
    return {arrays.data() + std::size_t{i} * width_, width_};
  }
  double Distance() const;

  const Settings settings_;
  const Progress progress_;
  const std::unique_ptr<Task> task_;
  const std::size_t width_;  // weights of a model
  const double interval_;
  const double deadline_;
  const double message_bytes_;
  mixing::Habits habits_;  // of all but a parameter server's one

  double now_ = 0;
  Calendar calendar_;
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> members_;  // not known to have failed
  std::unique_ptr<mixing::Topology> topology_;
  std::size_t running_ = 0;  // trainers that are not done
  std::size_t arrived_ = 0;

  std::vector<double> live_;
  std::vector<double> start_;     // what a step is computed at
  std::vector<double> twin_;      // momentum's
  std::vector<double> newest_;    // naive_newest's
  std::vector<double> base_;      // a parameter server's workers'
  std::vector<double> gathered_;  // gradients or snapshots of a meeting
  std::vector<double> update_, mean_;
  std::vector<std::uint32_t> gatherers_;  // of an average under way
  std::vector<Exchange> exchanges_;
  std::vector<double> arrays_;  // of exchanges
  std::vector<std::uint32_t> free_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<double>> owed_;
  std::map<std::uint32_t, std::deque<std::uint32_t>> queued_;
  mixing::SlowMomentum slow_;
  struct Parting {
    std::size_t first, last;
    double until;
  };
  std::vector<Parting> partings_;
  Result result_;
};

// Nodes in step: all train, then all mix at once, as the formulas of a
// synchronous ring have it. Of the rules those without state that ask: one_way,
// and pairwise where the topology pairs.
Result RunRounds(const Settings& settings);

// One or the other.
Result Simulate(const Settings& settings, World::Progress progress = nullptr);

}  // namespace hearsay::sim
