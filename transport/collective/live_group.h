// A group at one member: which round is on, what is early for the next, and
// which member is which rank.
//
// The round after the one that is on exists as soon as somebody sends for it:
// nobody can be further ahead, since a round ends only with everybody's data
// or vote. For the same reason nobody can doubt an earlier round than the last:
// that it was committed is said to whoever doubts, and to all in leaving. After
// a failure nothing else is sent or taken.
//
// Threads: all on the network thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "transport/collective/collective.h"
#include "transport/collective/network.h"
#include "transport/collective/plan.h"
#include "transport/collective/round.h"

namespace hearsay::transport::collective {

class LiveGroup final : public Group,
                        public std::enable_shared_from_this<LiveGroup>,
                        private Round::Lines {
 public:
  // Requires: a member of
  // `terms`, with algorithm and piece_bytes, called `self`; `network` outlives
  // the group's last use, which is Close.
  LiveGroup(Network& network, std::uint64_t id, Terms terms,
            const std::string& self);
  ~LiveGroup() override;
  LiveGroup(const LiveGroup&) = delete;
  LiveGroup& operator=(const LiveGroup&) = delete;

  void Run(Buffer input, Milliseconds limit,
           std::function<void(Result<Buffer>)> done) override;
  const Terms& terms() const override { return terms_; }
  std::uint64_t id() const { return id_; }
  bool running() const { return running_; }

  std::optional<PieceSink::Place> Claim(const std::string& from,
                                        const RoundPiece& piece,
                                        std::size_t length);
  void OnPlaced(const std::string& from, const RoundPiece& piece, bool ok);
  // That member is gone, or has left the group.
  void Lose(const std::string& member, const Error& why);
  void OnTime(Clock::time_point now);
  // Ends what is under way with `why`. The network is not used any more.
  void Close(const Error& why);
  // The same, without a word to anybody.
  void Abandon();

 private:
  std::optional<Rank> RankOf(std::string_view member) const;
  // The round on, or the next; null for any other.
  std::shared_ptr<Round> RoundOf(std::uint32_t sequence);
  std::shared_ptr<Round> MakeRound(std::uint32_t sequence);
  // A round that has ended at this member, but not at that one, has failed
  // there.
  bool IsFailureOfThePast(const Header& header) const;
  void SayCommitted(Rank to);
  // Last words.
  void SayCommittedToAll();
  void OnMessage(Round& round, Rank from, const Header& header, bool ok);
  void OnRoundOver(const Buffer& result, const std::optional<Error>& failure);
  void Finish(Result<Buffer> result);
  void CheckInput(const Buffer& input) const;

  // Round::Lines
  void Send(Rank to, const Header& header, std::span<const std::byte> bytes,
            std::shared_ptr<void> keep,
            std::function<void(bool)> done) override;
  const std::string& NameOf(Rank member) const override {
    return terms_.members[member];
  }

  Network& network_;
  bool closed_ = false;
  const std::shared_ptr<BufferPool> results_;
  const std::shared_ptr<BufferPool> slots_;
  const std::uint64_t id_;
  const Terms terms_;
  const Rank rank_;
  const std::shared_ptr<const Plan> plan_;
  std::uint32_t sequence_ = 0;  // of the round that is on, or comes next
  std::optional<std::uint32_t> committed_;  // the last that was, by vote
  bool running_ = false;
  bool starting_ = false;  // within Run: `done` must wait
  std::shared_ptr<Round> current_, next_;
  std::function<void(Result<Buffer>)> done_;
  std::optional<Error> failure_;
};

}  // namespace hearsay::transport::collective
