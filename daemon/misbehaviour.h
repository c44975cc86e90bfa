// How a node misbehaves on purpose (test.misbehave): an experiment on what the
// others do about it. It spoils what is sent, never what the node itself uses.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hearsay::daemon {

class Misbehaviour {
 public:
  // `kind`: "" (none), nan, huge or stale.
  explicit Misbehaviour(std::string kind) : kind_(std::move(kind)) {}

  bool active() const { return !kind_.empty(); }
  // Spoils an array that is about to be sent. nan: one value of it; huge: all
  // of it; stale: sends the first one again, with the version that it had.
  // Threads: any one at a time.
  void Spoil(std::span<float> array, std::uint64_t& version);

 private:
  const std::string kind_;
  std::vector<float> first_;
  std::uint64_t first_version_ = 0;
};

}  // namespace hearsay::daemon
