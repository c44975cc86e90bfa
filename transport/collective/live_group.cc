#include "transport/collective/live_group.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "transport/collective/terms.h"

namespace hearsay::transport::collective {
namespace {

// What is left of a round's limit when members begin to doubt: enough for a
// note there and back, or passed on.
constexpr int kGraceDivisor = 4;
constexpr Milliseconds kMaxGrace{1000};
// That the caller may hold, besides the one of the round under way.
constexpr std::size_t kMaxResults = 4;

std::size_t ElementBytes(Operation operation) {
  return operation == Operation::kSum ? sizeof(float) : 1;
}

Rank RankIn(const Terms& terms, std::string_view member) {
  const auto found =
      std::find(terms.members.begin(), terms.members.end(), member);
  assert(found != terms.members.end());
  return static_cast<Rank>(found - terms.members.begin());
}

}  // namespace

LiveGroup::LiveGroup(Network& network, std::uint64_t id, Terms terms,
                     const std::string& self)
    : network_(network),
      results_(
          BufferPool::Make(std::max<std::size_t>(terms.bytes, 1), kMaxResults)),
      slots_(BufferPool::Make(terms.piece_bytes,
                              2 * Round::kWindow * terms.members.size())),
      id_(id),
      terms_(std::move(terms)),
      rank_(RankIn(terms_, self)),
      plan_(std::make_shared<const Plan>(
          *terms_.algorithm, static_cast<Rank>(terms_.members.size()), rank_,
          terms_.bytes / ElementBytes(terms_.operation),
          ElementBytes(terms_.operation), terms_.piece_bytes)) {}

LiveGroup::~LiveGroup() {
  if (closed_) return;
  SayCommittedToAll();
  if (failure_) return;
  done_ = nullptr;
  if (const auto round = RoundOf(sequence_))
    round->Cancel({ErrorCode::kClosed, "this member has left the group"});
}

void LiveGroup::CheckInput(const Buffer& input) const {
  const bool needs = terms_.operation == Operation::kSum || rank_ == 0;
  if (needs && (!input || input->size() < terms_.bytes))
    throw std::invalid_argument(
        "transport: a round of " + std::to_string(terms_.bytes) +
        " bytes with an input of " + std::to_string(input ? input->size() : 0));
  if (!needs && input)
    throw std::invalid_argument(
        "transport: only the first member of a broadcast has an input");
}

void LiveGroup::Run(Buffer input, Milliseconds limit,
                    std::function<void(Result<Buffer>)> done) {
  CheckInput(input);
  if (running_)
    throw std::logic_error("transport: the group's last round is not over");
  running_ = true;
  done_ = std::move(done);
  const bool has_result =
      terms_.operation == Operation::kBroadcast && rank_ == 0;
  const Buffer result = has_result ? input : results_->Take();
  const auto round = RoundOf(sequence_);
  if (!result && !failure_) {
    failure_ = Error{ErrorCode::kClosed, "the caller holds too many results"};
    if (round) round->Cancel(*failure_);
  }
  if (failure_)
    return network_.Post([weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self && self->running_) self->Finish(*self->failure_);
    });
  if (plan_->receives().empty() && !has_result && terms_.bytes > 0)
    std::memcpy(result->data(), input->data(), terms_.bytes);
  network_.StartClock();
  limit = std::clamp(limit, Milliseconds(0), kMaxLimit);
  const Milliseconds grace = std::min(limit / kGraceDivisor, kMaxGrace);
  starting_ = true;
  round->Begin({.input = std::move(input),
                .result = result,
                .doubt_at = Clock::now() + limit - grace,
                .grace = grace,
                .done = [this, result](const std::optional<Error>& failure) {
                  OnRoundOver(result, failure);
                }});
  starting_ = false;
}

void LiveGroup::OnRoundOver(const Buffer& result,
                            const std::optional<Error>& failure) {
  if (failure && !failure_) failure_ = failure;
  if (!failure && terms_.outcome == Round::Outcome::kAgreed)
    committed_ = sequence_;
  ++sequence_;
  current_ = std::exchange(next_, nullptr);
  Result<Buffer> outcome = failure ? Result<Buffer>(*failure) : result;
  if (!starting_) return Finish(std::move(outcome));
  network_.Post([weak = weak_from_this(), outcome = std::move(outcome)] {
    const auto self = weak.lock();
    if (self && self->running_) self->Finish(outcome);
  });
}

void LiveGroup::Finish(Result<Buffer> result) {
  running_ = false;
  const auto done = std::exchange(done_, nullptr);
  if (done) done(std::move(result));
}

std::shared_ptr<Round> LiveGroup::MakeRound(std::uint32_t sequence) {
  return std::make_shared<Round>(static_cast<Round::Lines&>(*this), sequence,
                                 plan_, slots_, terms_.outcome);
}

std::shared_ptr<Round> LiveGroup::RoundOf(std::uint32_t sequence) {
  if (closed_) return nullptr;
  if (sequence == sequence_) {
    if (!current_ && !failure_) current_ = MakeRound(sequence);
    return current_;
  }
  if (!running_ || failure_ || sequence != sequence_ + 1) return nullptr;
  if (!next_) next_ = MakeRound(sequence);
  return next_;
}

std::optional<Rank> LiveGroup::RankOf(std::string_view member) const {
  const auto found =
      std::find(terms_.members.begin(), terms_.members.end(), member);
  if (found == terms_.members.end()) return std::nullopt;
  const auto rank = static_cast<Rank>(found - terms_.members.begin());
  if (rank == rank_) return std::nullopt;
  return rank;
}

bool LiveGroup::IsFailureOfThePast(const Header& header) const {
  return terms_.outcome == Round::Outcome::kOwn &&
         header.kind == Header::Kind::kNote && header.sequence < sequence_;
}

std::optional<PieceSink::Place> LiveGroup::Claim(const std::string& from,
                                                 const RoundPiece& piece,
                                                 std::size_t length) {
  const auto header = Decode(piece);
  const auto rank = RankOf(from);
  if (!header || !rank) return std::nullopt;
  if (header->kind == Header::Kind::kPiece) {
    const auto round = RoundOf(header->sequence);
    if (!round) return std::nullopt;
    return round->Claim(*rank, header->detail, header->offset, length);
  }
  if (length != 0) return std::nullopt;
  return PieceSink::Place{};
}

void LiveGroup::OnPlaced(const std::string& from, const RoundPiece& piece,
                         bool ok) {
  const auto header = Decode(piece);
  const auto rank = RankOf(from);
  if (!header || !rank) return;
  if (const auto round = RoundOf(header->sequence))
    return OnMessage(*round, *rank, *header, ok);
  if (!ok) return;
  if (header->kind == Header::Kind::kNote &&
      header->detail == static_cast<std::uint32_t>(Note::kDoubt) &&
      header->sequence == committed_)
    return SayCommitted(*rank);
  if (IsFailureOfThePast(*header))
    Lose(from, {ErrorCode::kPeerGone,
                from + ": the group's last round has failed there"});
}

void LiveGroup::SayCommitted(Rank to) {
  if (closed_) return;
  Send(to,
       {*committed_, Header::Kind::kNote,
        static_cast<std::uint32_t>(Note::kCommit), rank_},
       {}, nullptr, [](bool) {});
}

void LiveGroup::SayCommittedToAll() {
  if (!committed_) return;
  for (Rank to = 0; to < terms_.members.size(); ++to)
    if (to != rank_) SayCommitted(to);
}

void LiveGroup::OnMessage(Round& round, Rank from, const Header& header,
                          bool ok) {
  if (header.kind == Header::Kind::kPiece)
    return round.OnPiece(from, header.detail, header.offset, ok);
  if (!ok) return;
  if (header.kind == Header::Kind::kCredit)
    return round.OnCredit(from, header.offset);
  const auto about = static_cast<Rank>(
      std::min<std::uint64_t>(header.offset, terms_.members.size()));
  round.OnNote(from, static_cast<Note>(header.detail), about);
}

void LiveGroup::Lose(const std::string& member, const Error& why) {
  const auto rank = RankOf(member);
  if (!rank || closed_) return;
  // Before it has begun here, too: the others must not wait for this member.
  const auto round = RoundOf(sequence_);
  if (!failure_) failure_ = why;
  if (round) round->Lose(*rank, why);
}

void LiveGroup::OnTime(Clock::time_point now) {
  if (const auto round = current_) round->OnTime(now);
}

void LiveGroup::Close(const Error& why) {
  if (closed_) return;
  SayCommittedToAll();
  if (!failure_) failure_ = why;
  if (const auto round = current_) round->Cancel(why);
  const auto done = std::exchange(done_, nullptr);
  running_ = false;
  Abandon();
  if (done) done(why);
}

void LiveGroup::Abandon() {
  closed_ = true;
  current_.reset();
  next_.reset();
  done_ = nullptr;
}

void LiveGroup::Send(Rank to, const Header& header,
                     std::span<const std::byte> bytes,
                     std::shared_ptr<void> keep,
                     std::function<void(bool)> done) {
  network_.SendPiece(terms_.members[to], Encode(id_, header), bytes,
                     std::move(keep), std::move(done));
}

}  // namespace hearsay::transport::collective
