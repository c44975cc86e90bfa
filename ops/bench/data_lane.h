// A data lane between two processes of this machine, each on a core of its own,
// and how long arrays take on it. No control plane: the lane is opened with
// terms made up here, sealed under a secret of its own or open.
//
// Threads: forks, so call it before UCX is used and while there is one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "transport/transport.h"

namespace hearsay::bench {

struct DataLane {
  transport::WireKind wire = transport::WireKind::kUcx;  // not kAuto
  bool sealed = false;
  std::size_t array_bytes = 0;
  std::size_t chunk_bytes = transport::Options().chunk_bytes;
};

// What one end says to the other, before `measured` rounds and `warm_up`.
struct Rounds {
  int warm_up = 3;
  int measured = 20;
};

using Seconds = std::chrono::duration<double>;

// The gossip step: an array each way, and the average of both at both ends.
// From its start to the later end, each.
// Throws: std::runtime_error with a clear line if an exchange fails.
std::vector<Seconds> MeasureExchange(const DataLane& lane, Rounds rounds);

// Arrays one way, one after the other, a few of them asked for at a time: from
// one array's arrival to the next one's, on average. One figure.
// Throws: the same.
Seconds MeasurePush(const DataLane& lane, Rounds rounds);

}  // namespace hearsay::bench
