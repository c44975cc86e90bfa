// One process of `hearsay bench transport`: a node that measures what it is
// told to, with the public interface of transport/ and nothing else.
//
// Speaks with the process that started it (crew.h) in lines of JSON: first
// {"address": "HOST:PORT"}, then {"lanes": {NODE: LANE}} when all members are
// there, and then one answer to each command. It ends when its standard input
// does, so that it never outlives who has started it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace hearsay::ops {

struct WorkerOptions {
  std::string node;
  std::vector<std::string> members;  // all, itself too
  std::string peer;                  // HOST:PORT of the first; "" for itself
  std::string wire = "ucx";          // ucx | socket
  std::size_t array_bytes = 0;
  std::filesystem::path credentials;  // a CA's folder; "": lanes are open
};

// Returns the exit status. Throws: as Transport::Make.
int RunBenchWorker(const WorkerOptions& options);

}  // namespace hearsay::ops
