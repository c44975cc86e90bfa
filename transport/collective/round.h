// One round at one member: pieces out as soon as what they need is there,
// pieces in summed as they come, and then the vote on whether it counts.
//
// Memory: a sender has at most kWindow pieces under way that the receiver has
// not used up (summed or copied; it says so with credits where a transfer is
// longer than the window). So what comes before the round has begun here, or
// before its turn, is bounded by kWindow pieces a member, and is kept in slots
// until it can be used. Whatever exceeds that is from no honest member, and is
// dropped.
//
// Nothing waits for ever on a full window: pieces go to a member in the order
// of the schedule, each member has a window of its own, and the earliest piece
// that is not used up needs none that comes later.
//
// `input` is read only. `result` is written, and is of no value unless the
// round succeeds. Both are kept until the network has let go of them.
//
// Threads: all on the network thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "transport/buffer.h"
#include "transport/collective/ballot.h"
#include "transport/collective/header.h"
#include "transport/collective/network.h"
#include "transport/collective/plan.h"
#include "transport/result.h"

namespace hearsay::transport::collective {

using Clock = std::chrono::steady_clock;

class Round : public std::enable_shared_from_this<Round> {
 public:
  static constexpr std::size_t kWindow = 8;

  // To the other members. See Network::SendPiece.
  class Lines {
   public:
    virtual void Send(Rank to, const Header& header,
                      std::span<const std::byte> bytes,
                      std::shared_ptr<void> keep,
                      std::function<void(bool sent)> done) = 0;
    virtual const std::string& NameOf(Rank member) const = 0;

   protected:
    ~Lines() = default;
  };

  // Nothing: the result is there.
  using Done = std::function<void(const std::optional<Error>& failure)>;

  enum class Outcome {
    kAgreed,  // all members vote; see ballot.h
    kOwn      // this member's: it has its data. Others may fail
  };

  // `slots`: of plan.piece_bytes(), at least kWindow for each other member.
  // Requires: `lines` outlives the round.
  Round(Lines& lines, std::uint32_t sequence, std::shared_ptr<const Plan> plan,
        std::shared_ptr<BufferPool> slots, Outcome outcome);

  // Requires: input and result are as long as the plan says at least, and are
  // two, or else the plan receives nothing. `done` comes once, perhaps from
  // within, last thing in a call.
  struct Job {
    Buffer input, result;
    Clock::time_point doubt_at;  // it fails then, or a little later:
    std::chrono::milliseconds grace{0};
    Done done;
  };
  void Begin(Job job);
  bool begun() const { return begun_; }

  std::optional<PieceSink::Place> Claim(Rank from, std::uint32_t step,
                                        std::size_t offset, std::size_t length);
  void OnPiece(Rank from, std::uint32_t step, std::size_t offset, bool ok);
  void OnCredit(Rank from, std::uint64_t used);
  void OnNote(Rank from, Note note, Rank about);
  // It fails because of that member, unless the vote is beyond that.
  void Lose(Rank member, const Error& why);
  void OnTime(Clock::time_point now);
  // This member gives up, without waiting for what others know.
  void Cancel(const Error& why);

 private:
  enum class Piece : std::uint8_t { kAwaited, kClaimed, kParked, kUsed };
  struct Slot {
    Plan::Place place;
    Buffer bytes;
    Rank from = 0;
  };
  // One member, as this one deals with it.
  struct Peer {
    std::size_t send = 0;  // index into plan.sends_to()
    std::size_t cell = 0;  // of that send, from its first
    std::size_t sent = 0, credited = 0;
    std::size_t claimed = 0, used = 0, told = 0;
  };

  void Pump();
  bool SendNext(Rank to);
  bool IsUsed(std::size_t number) const {
    return pieces_[number] == Piece::kUsed;
  }
  bool IsFirst(const Plan::Place& place) const;
  // What comes before it is used, and what it would overwrite has left.
  bool CanUse(const Plan::Place& place) const;
  std::span<std::byte> ResultOf(const Plan::Place& place) const;
  // Sums or copies what can be, of what is here.
  void UseParked();
  // Whatever has become possible.
  void Advance();
  void Use(const Slot& slot);
  void Used(const Plan::Place& place, Rank from);
  void GiveCredit(Rank to);
  void Tell(Note note, Rank about);
  void OnSent(Rank to, bool sent);
  void OnPieceSent(Rank to, std::size_t number, bool sent);
  void Blame(const Error& why);
  bool all_sent() const;
  // Calls `done` if it is over.
  void Settle();

  Lines& lines_;
  const std::uint32_t sequence_;
  const std::shared_ptr<const Plan> plan_;
  const std::shared_ptr<BufferPool> slots_;
  const Outcome outcome_;
  Ballot ballot_;
  Job job_;
  bool begun_ = false;
  std::vector<Piece> pieces_;  // in, by number
  std::vector<bool> left_;     // out, by number: the network has read them
  std::size_t missing_;
  std::map<std::size_t, Slot> parked_;  // by number; claimed or arrived
  std::vector<Peer> peers_;
  std::size_t in_flight_ = 0;  // sends of pieces that the network holds
  std::optional<Error> blame_;
  std::optional<Clock::time_point> grace_until_;
};

}  // namespace hearsay::transport::collective
