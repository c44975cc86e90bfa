// All-reduce and broadcast among named members.
//
// Members first form a group: all of them say who it consists of, what it does
// and how long its arrays are, under one name. The first of the list proposes;
// the others accept, or refuse and say what they have instead. A group that has
// been formed runs rounds, one after the other, each called for by every
// member. Several groups, with common members too, do not wait for each other.
//
// A round succeeds at all members that survive it, or at none (ballot.h says
// on what bet), with bitwise equal results (schedule.h). A member that dies,
// is cut off or calls too late fails it at all within its limit. The input is
// never changed, and the result is a buffer of its own that is seen only if the
// round has succeeded: a failed round leaves nothing behind. After a failure
// the group is over; form another, of the members that are there.
//
// Threads: all on the thread that runs the transport's `io`.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "transport/buffer.h"
#include "transport/collective/round.h"
#include "transport/collective/schedule.h"
#include "transport/result.h"

namespace hearsay::transport::collective {

using Milliseconds = std::chrono::milliseconds;

inline constexpr std::size_t kMaxMembers = 64;

enum class Operation : std::uint8_t {
  kSum = 1,   // all-reduce of float32
  kBroadcast  // of the first member's bytes
};

// Equal at all members, but for what the first decides: `algorithm` and
// `piece_bytes`, which are its own or else by cost.h.
struct Terms {
  std::vector<std::string> members;  // 1 to kMaxMembers, different; ranks
  Operation operation = Operation::kSum;
  std::size_t bytes = 0;  // of every array; of kSum a multiple of 4
  std::optional<Algorithm> algorithm;
  std::size_t piece_bytes = 0;
  // kOwn spares the vote: faster, and after a failure some members may have a
  // result and others not. Not for a broadcast, whose root would not know when
  // to stop.
  Round::Outcome outcome = Round::Outcome::kAgreed;
};

// Leaving it (the last reference) while others go on fails their next round.
class Group {
 public:
  virtual ~Group() = default;

  // The next round. `input`: terms().bytes or more of them, of which the first
  // are used; null at all but the first member of a broadcast. It must stay as
  // it is until `done`. `done` comes once: with the result (for the root of a
  // broadcast its input), or kPeerGone, kTimeout at most `limit` after this
  // call, kMalformed, kClosed. Only one round at a time, and only four results
  // held.
  // Throws: std::invalid_argument for an input that is too short, missing or
  // superfluous, std::logic_error while another round is under way.
  virtual void Run(Buffer input, Milliseconds limit,
                   std::function<void(Result<Buffer>)> done) = 0;

  // As agreed: with algorithm and piece_bytes.
  virtual const Terms& terms() const = 0;
};

class Collectives {
 public:
  virtual ~Collectives() = default;

  // `done` comes once: with the group when all have accepted, or kRefused with
  // who refuses and why, kPeerGone, kTimeout, kClosed.
  // Throws: std::invalid_argument for terms that cannot be met: this node not a
  // member, a name twice, too many, bytes that are no floats or exceed the
  // transport's array_bytes and round_bytes.
  virtual void Form(
      const std::string& name, const Terms& terms, Milliseconds limit,
      std::function<void(Result<std::shared_ptr<Group>>)> done) = 0;

  // Hears once of each group that is proposed to this node and that its owner
  // has not asked for yet: it waits for Form, as long as its proposer does.
  virtual void OnProposed(
      std::function<void(const std::string& name,
                         const std::vector<std::string>& members)>
          told) = 0;

  // One round of a group that is formed for it, within `limit` altogether.
  void AllReduce(const std::string& name, std::vector<std::string> members,
                 Buffer input, std::size_t bytes, Milliseconds limit,
                 std::function<void(Result<Buffer>)> done);
  void Broadcast(const std::string& name, std::vector<std::string> members,
                 Buffer input, std::size_t bytes, Milliseconds limit,
                 std::function<void(Result<Buffer>)> done);

 private:
  void RunOnce(const std::string& name, const Terms& terms, Buffer input,
               Milliseconds limit, std::function<void(Result<Buffer>)> done);
};

}  // namespace hearsay::transport::collective
