// What is simulated. Read from TOML by settings_toml.h; every time is in
// seconds of virtual time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "daemon/mixing/rule.h"
#include "daemon/mixing/topology.h"

namespace hearsay::sim {

struct Settings {
  std::size_t nodes = 8;
  std::uint64_t seed = 1;
  std::uint64_t steps = 1000;  // of each node; 0: until the end
  double until = 0;            // the end; 0: when all have done their steps
  double sample_every = 0;     // 0: a hundred times in all
  // Nodes in step, as the formulas have it: all train, then all mix.
  bool rounds = false;
  // Samples say of each node what step it is at, and how it scores.
  bool each_node = false;
  // Over when all that are not slower have done their steps.
  bool until_healthy = false;

  struct Mixing {
    mixing::RuleKind rule = mixing::RuleKind::kPairwise;
    mixing::TopologyKind topology = mixing::TopologyKind::kRing;
    mixing::Adjacency adjacency = {};  // kFile
    double interval = 0;               // 0: a step's time
    bool objective_nodes = false;
    bool acid = false;  // momentum
    bool acid_scaled = true;
    // When naive_newest averages and sends (mixing.md 2).
    enum class Trigger { kClock, kBeforeStep, kAfterStep, kOnArrival };
    Trigger trigger = Trigger::kClock;
    // An exchange of one's own may begin while another is under way.
    bool many_in_flight = false;
  } mixing;

  struct Resync {
    std::uint64_t every_steps = 0;
    enum class Mode { kOverlapped, kBlocking, kAdaptive };
    Mode mode = Mode::kOverlapped;
    bool halving_doubling = false;
    double above = 0.05;
    double slow_momentum = 0;
  } resync;

  struct Compute {
    double step_time = 0.01;
    enum class Spread { kConstant, kUniform, kExponential, kLogNormal };
    Spread spread = Spread::kUniform;
    double width = 0.1;          // of kUniform (+-) and kLogNormal
    std::vector<double> slower;  // factor of each node; the rest: 1
  } compute;

  struct Network {
    double latency = 0.0001;  // one way
    double jitter = 0;        // uniform, +- this share of it
    double bandwidth = 0;  // bytes a second in and out of a node; 0: no limit
    double loss = 0;       // of a message
    double message_bytes = 0;  // 0: four a weight
    double deadline = 0;       // of an exchange; 0: by latency and interval
    double detect = 1;         // until the others know that a node has failed
  } network;

  struct Task {
    enum class Kind {
      kZero,     // all start at 1, every target is 0
      kOwn,      // node i's target is 1 in element i, all start at 0
      kClassify  // a small network on generated records, with DP noise
    };
    Kind kind = Kind::kZero;
    std::size_t dimension = 1;
    double learning_rate = 0.01;
    double noise = 0;  // variance that each step adds to each weight
    // kClassify:
    std::size_t rows = 1000;  // of each node
    double sample_rate = 0.05;
    double clip_norm = 1;
    double noise_multiplier = 1;
    int hidden = 8;
    bool skewed = false;  // nodes see different records
  } task;

  struct Incident {
    double at = 0;
    enum class What { kKill, kFreeze, kPart } what = What::kKill;
    std::size_t first = 0, last = 0;  // nodes
    double lasts = 0;                 // kFreeze, kPart
  };
  std::vector<Incident> incidents;
};

}  // namespace hearsay::sim
