#include "transport/collective/ballot.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace hearsay::transport::collective {

Ballot::Ballot(Rank n, Rank self, Tell tell)
    : self_(self), tell_(std::move(tell)), members_(n) {
  assert(self < n);
}

void Ballot::Complete() {
  if (state_ != State::kMoving) return;
  state_ = State::kReady;
  members_[self_].ready = true;
  tell_(Note::kReady, self_);
  Count();
}

void Ballot::Hear(Rank from, Note note, Rank about) {
  Member& member = members_[from];
  if (state_ == State::kCommitted && note == Note::kDoubt)
    return tell_(Note::kCommit, self_);
  if (over()) return;
  if (note == Note::kAbort) return Abort(about);
  if (member.lost) return;
  switch (note) {
    case Note::kReady:
      member.ready = true;
      return Count();
    case Note::kCommit:
      // Without this member's vote nobody can have counted all of them.
      if (state_ != State::kMoving) Commit();
      return;
    case Note::kAbort:
      return;
    case Note::kFail:
      member.failed = true;
      return Doubt();
    case Note::kDoubt:
      member.doubts = true;
      if (about != from && about < members_.size()) {
        member.has_lost.resize(members_.size());
        member.has_lost[about] = true;
      }
      return Doubt();
  }
}

void Ballot::Lose(Rank member) {
  if (over() || members_[member].lost) return;
  members_[member].lost = true;
  if (state_ == State::kMoving) return Abort(member);
  Promise(member);
}

void Ballot::Doubt() {
  if (over()) return;
  if (state_ == State::kMoving) return Abort(self_);
  if (state_ == State::kReady) return Promise(self_);
  if (AllPromised()) Fail();
}

void Ballot::End() {
  if (state_ == State::kMoving) return Abort(self_);
  if (!over()) Fail();
}

void Ballot::Commit() {
  state_ = State::kCommitted;
  tell_(Note::kCommit, self_);
}

void Ballot::Abort(Rank about) {
  state_ = State::kFailed;
  tell_(Note::kAbort, about);
}

void Ballot::Fail() {
  state_ = State::kFailed;
  tell_(Note::kFail, self_);
}

void Ballot::Promise(Rank about) {
  state_ = State::kDoubting;
  tell_(Note::kDoubt, about);
  if (AllPromised()) Fail();
}

void Ballot::Count() {
  if (state_ == State::kReady &&
      std::all_of(members_.begin(), members_.end(),
                  [](const Member& member) { return member.ready; }))
    state_ = State::kCommitted;  // The others count for themselves.
}

bool Ballot::AllPromised() const {
  for (Rank rank = 0; rank < members_.size(); ++rank) {
    const Member& member = members_[rank];
    if (rank == self_ || member.lost || member.failed) continue;
    if (!member.doubts) return false;
    for (Rank other = 0; other < members_.size(); ++other)
      if (members_[other].lost &&
          (member.has_lost.empty() || !member.has_lost[other]))
        return false;
  }
  return true;
}

}  // namespace hearsay::transport::collective
