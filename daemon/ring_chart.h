// Keeps the order of a ring by measured exchange times (mixing.ring_order =
// "bandwidth"). One member decides, the first by name; the others take the
// order from its report, and while that is not of the members of now, go by
// name.
//
// The decision stands until the members change or another order is clearly
// shorter: exchanges' times vary, and a ring that changes all the time is none.
// Threads: one.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "daemon/report.h"

namespace hearsay::daemon {

class RingChart {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // What `from` reports of its exchanges; the newest word counts.
  void Note(const std::string& from, const std::vector<LinkReport>& links);

  // By this node, for these members, sorted by name.
  const std::vector<std::string>& Decide(
      const std::vector<std::string>& members, Time now);

 private:
  double Cost(const std::string& a, const std::string& b) const;

  std::map<std::pair<std::string, std::string>, double> seconds_;
  std::vector<std::string> members_;
  std::vector<std::string> order_;
  Time next_{};
};

}  // namespace hearsay::daemon
