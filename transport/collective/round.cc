#include "transport/collective/round.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "transport/collective/sum.h"

namespace hearsay::transport::collective {

Round::Round(Lines& lines, std::uint32_t sequence,
             std::shared_ptr<const Plan> plan,
             std::shared_ptr<BufferPool> slots, Outcome outcome)
    : lines_(lines),
      sequence_(sequence),
      plan_(std::move(plan)),
      slots_(std::move(slots)),
      outcome_(outcome),
      ballot_(plan_->n(), plan_->rank(),
              [this](Note note, Rank about) { Tell(note, about); }),
      pieces_(plan_->pieces_in(), Piece::kAwaited),
      left_(plan_->pieces_out()),
      missing_(plan_->pieces_in()),
      peers_(plan_->n()) {}

void Round::Begin(Job job) {
  assert(!begun_);
  begun_ = true;
  job_ = std::move(job);
  Advance();
}

void Round::Advance() {
  UseParked();
  if (begun_ && missing_ == 0 && outcome_ == Outcome::kAgreed)
    ballot_.Complete();
  Pump();
  Settle();
}

// Sending.

void Round::Pump() {
  if (!begun_ || ballot_.state() == Ballot::State::kFailed) return;
  for (Rank k = 1; k < plan_->n(); ++k) {
    const Rank to = (plan_->rank() + k) % plan_->n();
    while (SendNext(to)) {
    }
  }
}

bool Round::SendNext(Rank to) {
  Peer& peer = peers_[to];
  const auto& sends = plan_->sends_to(to);
  if (peer.send == sends.size() || peer.sent - peer.credited >= kWindow)
    return false;
  const auto& send = plan_->sends()[sends[peer.send]];
  const std::size_t cell = send.first_cell + peer.cell;
  if (!plan_->AllBefore(send, cell,
                        [this](std::size_t number) { return IsUsed(number); }))
    return false;
  const auto bytes = plan_->PieceOf(send, cell);
  const Buffer& from = send.from == From::kInput ? job_.input : job_.result;
  ++peer.sent;
  ++in_flight_;
  if (++peer.cell == send.cells) {
    peer.cell = 0;
    ++peer.send;
  }
  lines_.Send(to, {sequence_, Header::Kind::kPiece, send.step, bytes.begin},
              from->subspan(bytes.begin, bytes.size()), from,
              [weak = weak_from_this(), to,
               number = Plan::Number(send, cell)](bool sent) {
                if (const auto self = weak.lock())
                  self->OnPieceSent(to, number, sent);
              });
  return true;
}

bool Round::all_sent() const {
  for (Rank to = 0; to < plan_->n(); ++to)
    if (peers_[to].sent != plan_->pieces_to(to)) return false;
  return in_flight_ == 0;
}

void Round::OnSent(Rank to, bool sent) {
  if (!sent)
    return Lose(to, {ErrorCode::kPeerGone,
                     lines_.NameOf(to) + ": the connection with it is gone"});
  Settle();
}

void Round::OnPieceSent(Rank to, std::size_t number, bool sent) {
  --in_flight_;
  left_[number] = sent;
  if (!sent || parked_.empty()) return OnSent(to, sent);
  Advance();
}

void Round::OnCredit(Rank from, std::uint64_t used) {
  Peer& peer = peers_[from];
  if (used <= peer.credited || used > peer.sent) return;
  peer.credited = used;
  Pump();
}

// Receiving.

std::optional<PieceSink::Place> Round::Claim(Rank from, std::uint32_t step,
                                             std::size_t offset,
                                             std::size_t length) {
  const auto place = plan_->Find(from, step, offset);
  if (!place || plan_->BytesOf(*place).size() != length) return std::nullopt;
  const std::size_t number = plan_->Number(*place);
  Peer& peer = peers_[from];
  if (pieces_[number] != Piece::kAwaited ||
      peer.claimed - peer.used >= kWindow ||
      ballot_.state() == Ballot::State::kFailed)
    return std::nullopt;
  PieceSink::Place into;
  if (begun_ && IsFirst(*place)) {
    into = {ResultOf(*place), job_.result};
  } else {
    const Buffer slot = slots_->Take();
    if (!slot) return std::nullopt;
    into = {slot->first(length), slot};
    parked_[number] = {*place, slot, from};
  }
  pieces_[number] = Piece::kClaimed;
  ++peer.claimed;
  return into;
}

// It can go to its place in the result at once: nothing that matters is there.
// Own input is added where it lies.
bool Round::IsFirst(const Plan::Place& place) const {
  const auto& receive = plan_->receives()[place.receive];
  return receive.action != Action::kAdd && CanUse(place);
}

bool Round::CanUse(const Plan::Place& place) const {
  const auto& receive = plan_->receives()[place.receive];
  const auto is_used = [this](std::size_t number) { return IsUsed(number); };
  const auto has_left = [this](std::size_t number) { return left_[number]; };
  return plan_->AllBefore(receive, place.cell, is_used) &&
         plan_->AllSentBefore(receive, place.cell, has_left);
}

std::span<std::byte> Round::ResultOf(const Plan::Place& place) const {
  const auto bytes = plan_->BytesOf(place);
  return job_.result->subspan(bytes.begin, bytes.size());
}

void Round::OnPiece(Rank from, std::uint32_t step, std::size_t offset,
                    bool ok) {
  const auto place = plan_->Find(from, step, offset);
  assert(place && pieces_[plan_->Number(*place)] == Piece::kClaimed);
  const std::size_t number = plan_->Number(*place);
  if (!ok) {
    parked_.erase(number);
    return Lose(from, {ErrorCode::kMalformed,
                       lines_.NameOf(from) + ": a piece arrived damaged"});
  }
  if (ballot_.state() == Ballot::State::kFailed) return;
  if (parked_.contains(number)) {
    pieces_[number] = Piece::kParked;
  } else {
    if (plan_->receives()[place->receive].action == Action::kAddInput) {
      const auto bytes = plan_->BytesOf(*place);
      Add(ResultOf(*place), job_.input->subspan(bytes.begin, bytes.size()),
          ResultOf(*place));
    }
    Used(*place, from);
  }
  Advance();
}

void Round::UseParked() {
  if (!begun_) return;
  for (bool more = true; more;) {
    more = false;
    for (auto it = parked_.begin(); it != parked_.end();) {
      const Slot& slot = it->second;
      if (pieces_[it->first] != Piece::kParked || !CanUse(slot.place)) {
        ++it;
        continue;
      }
      Use(slot);
      it = parked_.erase(it);
      more = true;
    }
  }
}

void Round::Use(const Slot& slot) {
  const auto result = ResultOf(slot.place);
  const auto received = slot.bytes->first(result.size());
  switch (plan_->receives()[slot.place.receive].action) {
    case Action::kCopy:
      std::memcpy(result.data(), received.data(), received.size());
      break;
    case Action::kAddInput:
      Add(result,
          job_.input->subspan(plan_->BytesOf(slot.place).begin, result.size()),
          received);
      break;
    case Action::kAdd:
      Add(result, result, received);
      break;
  }
  Used(slot.place, slot.from);
}

void Round::Used(const Plan::Place& place, Rank from) {
  pieces_[plan_->Number(place)] = Piece::kUsed;
  --missing_;
  ++peers_[from].used;
  GiveCredit(from);
}

// Every half window, and only while the sender may be waiting for it.
void Round::GiveCredit(Rank to) {
  Peer& peer = peers_[to];
  if (peer.used - peer.told < kWindow / 2 ||
      plan_->pieces_from(to) <= peer.told + kWindow)
    return;
  peer.told = peer.used;
  lines_.Send(to, {sequence_, Header::Kind::kCredit, 0, peer.used}, {}, nullptr,
              [weak = weak_from_this(), to](bool sent) {
                if (const auto self = weak.lock()) self->OnSent(to, sent);
              });
}

// The vote.

void Round::Tell(Note note, Rank about) {
  for (Rank k = 1; k < plan_->n(); ++k) {
    const Rank to = (plan_->rank() + k) % plan_->n();
    lines_.Send(to,
                {sequence_, Header::Kind::kNote,
                 static_cast<std::uint32_t>(note), about},
                {}, nullptr, [weak = weak_from_this(), to](bool sent) {
                  if (const auto self = weak.lock()) self->OnSent(to, sent);
                });
  }
}

void Round::OnNote(Rank from, Note note, Rank about) {
  if (note == Note::kAbort || note == Note::kDoubt || note == Note::kFail)
    Blame({ErrorCode::kPeerGone,
           lines_.NameOf(from) + ": it has given the round up" +
               (about == from || about >= plan_->n()
                    ? ""
                    : ", having lost " + lines_.NameOf(about))});
  ballot_.Hear(from, note, about);
  Settle();
}

void Round::Lose(Rank member, const Error& why) {
  if (ballot_.over()) return Settle();
  Blame(why);
  ballot_.Lose(member);
  Settle();
}

void Round::OnTime(Clock::time_point now) {
  if (!begun_ || ballot_.over()) return;
  if (ballot_.state() == Ballot::State::kDoubting) {
    if (!grace_until_) grace_until_ = now + job_.grace;
    if (now >= *grace_until_) ballot_.End();
  } else if (now >= job_.doubt_at) {
    Blame({ErrorCode::kTimeout, "the round was not over in time"});
    ballot_.Doubt();
  }
  Settle();
}

void Round::Cancel(const Error& why) {
  Blame(why);
  ballot_.Doubt();
  ballot_.End();
  Settle();
}

void Round::Blame(const Error& why) {
  if (!blame_) blame_ = why;
}

void Round::Settle() {
  if (!begun_ || !job_.done) return;
  const bool failed = ballot_.state() == Ballot::State::kFailed;
  const bool succeeded = outcome_ == Outcome::kAgreed
                             ? ballot_.state() == Ballot::State::kCommitted
                             : missing_ == 0;
  if (!failed && !(succeeded && all_sent())) return;
  const auto failure = failed ? blame_ : std::nullopt;
  const auto done = std::exchange(job_.done, nullptr);
  parked_.clear();
  done(failure);
}

}  // namespace hearsay::transport::collective
