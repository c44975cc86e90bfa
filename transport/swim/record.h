// What members tell each other about a member.
//
// All records of one node are in one total order; merging keeps the greater.
// So members that have heard the same news agree, in whatever order it came.
//
//   life         the process: a restarted node beats its former self
//   incarnation  within a life, raised by the node itself to refute others
//   state        within an incarnation: bad news beats good news
//
// Source: Das, Gupta, Motivala. "SWIM" (DSN 2002), section 4.2, with the change
// that failure can be refuted too (hashicorp/memberlist), so that a cut of any
// length heals; lives are ours, where memberlist has one counter.
#pragma once

#include <cstdint>
#include <string>

namespace hearsay::transport::swim {

enum class State { kAlive, kSuspect, kFailed, kLeft };

struct Record {
  std::string node;
  std::string address;  // HOST:PORT where it can be dialled
  std::uint64_t life = 0;
  std::uint32_t incarnation = 0;
  State state = State::kAlive;
  // Whose word this is: the node itself when alive, or has left by itself.
  std::string said_by;

  bool operator==(const Record&) const = default;
};

// Higher than any life of MakeLife; records beyond are malformed.
inline constexpr std::uint64_t kMaxLife = std::uint64_t{1} << 63;

// Of a process that starts now: later starts give greater lives, as far as the
// machine's clock is right. `random` tells apart two of one moment.
std::uint64_t MakeLife(std::uint64_t unix_ms, std::uint64_t random);

// True if `news` comes after `known` in the order. Whose word it is does not
// count. Requires: the same node.
bool Supersedes(const Record& news, const Record& known);

}  // namespace hearsay::transport::swim
