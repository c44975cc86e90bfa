// What one node of a benchmark can time: pushes, exchanges and rounds.
//
// Threads: all on the thread of the transport.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "transport/transport.h"

namespace hearsay::ops {

struct MeasureOutcome {
  std::optional<std::string> error;
  std::vector<double> seconds;  // in the order of the repetitions
  std::string detail;           // the algorithm that was chosen
};

class Measure {
 public:
  virtual ~Measure() = default;
  // `done` comes once, later.
  virtual void Start(std::function<void(const MeasureOutcome&)> done) = 0;
};

// {"measure": ..., "rounds": N} and, by kind:
//   latency     an empty request and its empty answer
//   push        an array there and an empty answer back, one at a time
//   stream      pushes, two under way; time between two ends
//   exchange    an array each way, and the average of the two here
//   all_reduce  "bytes", "algorithm" ("auto" too): a round after a barrier, on
//               all members, who must all be told the same
// Throws: std::invalid_argument for any other.
std::unique_ptr<Measure> MakeMeasure(transport::Transport& transport,
                                     const std::vector<std::string>& members,
                                     const nlohmann::ordered_json& command);

// Answers what the above ask for, from an array of its own; an exchange is
// averaged here as well.
class Answerer {
 public:
  explicit Answerer(transport::Transport& transport);
  transport::OnPiece OnBegin(const transport::Message& begun,
                             const transport::Respond& ahead);
  void OnRequest(const transport::Message& request,
                 const transport::Respond& respond);

 private:
  transport::Buffer own_;
};

}  // namespace hearsay::ops
