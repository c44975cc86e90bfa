// Whether a round counts: the same answer at every member that survives it.
//
// A member that has all of its data says kReady to all. One that has heard it
// from all commits, and says kCommit to all when anybody doubts, and when it
// leaves (live_group.h); one that hears kCommit commits too, and passes it on.
// A member that fails before it was ready says kAbort;
// whoever hears it fails, and passes it on: nobody can have heard kReady from
// it, so nobody has committed or ever will.
//
// The hard case is a member that is ready when another is lost or time is up:
// somebody may have committed already. It doubts: says kDoubt, which promises
// that it will commit no more by counting votes, only by hearing kCommit from
// a member it has not lost. It fails, and says kFail to all, when
//   (a) every member it has not lost has failed, or made the same promise
//       having lost those that it has lost; or
//   (b) nothing has decided for the grace that its owner allows.
// Under (a) those members had not committed when they promised, and listen only
// to each other: none of them ever commits. They are the survivors, as far as
// each of them can tell. Only (b) is a bet: that a doubt and a kCommit in
// reply, or passed on, take less than the grace. No protocol can do without one
// (two generals); the grace says how much is bet on.
//
// Pure: no clock, no network. Notes may come in any order. What a member sends
// is heard, unless one of the two loses the other.
//
// Source: the problem is non-blocking commitment, Skeen, "Nonblocking commit
// protocols", 1981.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "transport/collective/schedule.h"

namespace hearsay::transport::collective {

enum class Note : std::uint8_t { kReady = 1, kCommit, kAbort, kDoubt, kFail };

class Ballot {
 public:
  enum class State { kMoving, kReady, kDoubting, kCommitted, kFailed };
  // To all others. `about`: whom the one that began it has lost; itself for
  // nobody.
  using Tell = std::function<void(Note note, Rank about)>;

  // Requires: self < n. `tell` is called from within the calls below, and must
  // not call back.
  Ballot(Rank n, Rank self, Tell tell);

  // All of this member's data is here. Once.
  void Complete();
  void Hear(Rank from, Note note, Rank about);
  void Lose(Rank member);
  // Time is up: fails, or doubts, if the vote is not over.
  void Doubt();
  // The grace is over.
  void End();

  State state() const { return state_; }
  bool over() const {
    return state_ == State::kCommitted || state_ == State::kFailed;
  }

 private:
  struct Member {
    bool lost = false;
    bool ready = false;
    bool doubts = false;
    bool failed = false;
    std::vector<bool> has_lost;  // by rank; empty: none
  };

  void Commit();
  void Abort(Rank about);
  void Promise(Rank about);
  void Fail();
  void Count();
  // (a) above.
  bool AllPromised() const;

  const Rank self_;
  const Tell tell_;
  State state_ = State::kMoving;
  std::vector<Member> members_;
};

}  // namespace hearsay::transport::collective
