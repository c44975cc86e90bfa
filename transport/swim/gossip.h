// News that this node still has to pass on: the latest of each node, each so
// many times, the least often sent first.
//
// Source: Das, Gupta, Motivala. "SWIM" (2002), section 4.1, dissemination by
// piggybacking.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "transport/swim/record.h"

namespace hearsay::transport::swim {

class Gossip {
 public:
  explicit Gossip(int retransmit_multiplier)
      : multiplier_(retransmit_multiplier) {}

  // Takes the place of what was to be said of its node.
  void Add(const Record& record);
  // At most `most`, to be sent now. `members`: of the cluster.
  std::vector<Record> Take(std::size_t most, std::size_t members);
  std::size_t size() const { return news_.size(); }

 private:
  struct News {
    Record record;
    int sent = 0;
  };

  const int multiplier_;
  std::map<std::string, News> news_;  // By node.
};

}  // namespace hearsay::transport::swim
