// What `hearsay bench transport` measures, as a document: pushes over each
// lane, what the alpha-beta model makes of them, exchanges of two, and
// all-reduces beside their prediction.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace hearsay::ops {

struct TransportBench {
  std::vector<std::string> lanes = {"ucx", "socket"};
  std::vector<std::string> sealing = {"open", "sealed"};
  std::vector<std::size_t> sizes;  // bytes, multiples of 4
  std::vector<int> nodes = {2, 4, 8};
  std::vector<std::string> algorithms = {"auto", "ring", "halving-doubling"};
  bool pushes = true;
  bool exchanges = true;
  bool all_reduces = true;
  bool vote = true;   // all-reduces: whether members agree that each counts
  double effort = 1;  // a factor on the number of repetitions
  std::size_t piece_bytes = 0;  // of all-reduces; 0: as the transport chooses
};

// t = alpha + beta * bytes, fitted to pairs of bytes and seconds so that the
// relative errors are least.
struct AlphaBeta {
  double alpha = 0;
  double beta = 0;
};
// Requires: two different sizes at least. Never negative.
AlphaBeta FitAlphaBeta(const std::vector<std::pair<double, double>>& times);

// `progress` hears what is measured next.
// Throws: Exit(kError) if a process fails.
nlohmann::ordered_json RunTransportBench(
    const TransportBench& bench,
    const std::function<void(const std::string&)>& progress);

}  // namespace hearsay::ops
