#include "transport/collective/live_collectives.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "transport/collective/cost.h"
#include "transport/collective/terms.h"

namespace hearsay::transport::collective {
namespace {

// Proposals of one member that wait for a caller, and how long at most.
constexpr std::ptrdiff_t kMaxHeld = 16;
constexpr Milliseconds kSayAgain{200};

}  // namespace

LiveCollectives::LiveCollectives(Network& network, std::string self,
                                 Limits limits)
    : network_(network), self_(std::move(self)), limits_(limits) {}

LiveCollectives::~LiveCollectives() {
  for (const auto& [id, weak] : groups_)
    if (const auto group = weak.lock()) group->Abandon();
}

void LiveCollectives::Complete(Terms& terms) const {
  const auto n = static_cast<Rank>(terms.members.size());
  if (!terms.algorithm)
    terms.algorithm = terms.operation == Operation::kSum
                          ? ChooseAllReduce(n, terms.bytes, {})
                          : ChooseBroadcast(n, terms.bytes, {});
  if (terms.piece_bytes == 0)
    terms.piece_bytes =
        ChoosePieceBytes(*terms.algorithm, terms.bytes, limits_.largest_piece);
}

void LiveCollectives::Form(const std::string& name, const Terms& terms,
                           Milliseconds limit, FormDone done) {
  CheckTerms(name, terms, self_, limits_);
  limit = std::clamp(limit, Milliseconds(0), kMaxLimit);
  std::optional<Error> error;
  if (closed_) error = Error{ErrorCode::kClosed, "this node is leaving"};
  if (forming_.contains(name))
    error = Error{ErrorCode::kRefused,
                  "group " + name + ": it is being formed already"};
  if (error)
    return network_.Post([done = std::move(done), error] {
      done(Result<std::shared_ptr<Group>>(*error));
    });
  network_.StartClock();
  auto& forming = forming_[name];
  forming.terms = terms;
  forming.until = Clock::now() + limit;
  forming.done = std::move(done);
  if (terms.members.front() == self_) return Propose(name, forming);
  const auto held = held_.extract({terms.members.front(), name});
  if (!held.empty()) Judge(name, forming, held.mapped().proposal);
}

void LiveCollectives::Propose(const std::string& name, Forming& forming) {
  Terms& terms = forming.terms;
  Complete(terms);
  std::uint64_t id = 0;
  while (id == 0 || groups_.contains(id))
    id = std::uint64_t{random_()} << 32 | random_();
  forming.group = std::make_shared<LiveGroup>(network_, id, terms, self_);
  forming.accepted.resize(terms.members.size());
  groups_[id] = forming.group;
  const auto missing = Say(name, forming);
  network_.Post([this, id, missing] {
    const auto found = FindForming(id);
    if (found == forming_.end()) return;
    if (!missing) return OnAccepted(id, self_);
    Fail(found->first, {ErrorCode::kPeerGone, *missing + ": not connected"});
  });
}

std::optional<std::string> LiveCollectives::Say(const std::string& name,
                                                Forming& forming) {
  const auto now = Clock::now();
  const Terms& terms = forming.terms;
  const auto& first = terms.members.front();
  forming.again = now + kSayAgain;
  if (first != self_)
    return Accept(first, forming.group->id()) ? std::nullopt
                                              : std::optional(first);
  const auto left = std::chrono::ceil<Milliseconds>(forming.until - now);
  const RoundProposal proposal{
      .round = forming.group->id(),
      .name = name,
      .members = terms.members,
      .operation = static_cast<std::uint8_t>(terms.operation),
      .algorithm = static_cast<std::uint8_t>(*terms.algorithm),
      .bytes = terms.bytes,
      .piece_bytes = terms.piece_bytes,
      .voted = terms.outcome == Round::Outcome::kAgreed,
      .limit_ms =
          static_cast<std::uint32_t>(std::max(left, Milliseconds(0)).count())};
  for (std::size_t i = 0; i < terms.members.size(); ++i)
    if (terms.members[i] != self_ && !forming.accepted[i] &&
        !network_.Tell(terms.members[i], proposal))
      return terms.members[i];
  return std::nullopt;
}

bool LiveCollectives::Accept(const std::string& first, std::uint64_t id) {
  return network_.Tell(
      first, RoundVerdict{.round = id, .accepted = true, .reason = {}});
}

void LiveCollectives::OnMessage(const std::string& from,
                                const RoundMessage& message) {
  if (const auto* proposal = std::get_if<RoundProposal>(&message))
    return OnProposal(from, *proposal);
  OnVerdict(from, std::get<RoundVerdict>(message));
}

void LiveCollectives::OnProposal(const std::string& from,
                                 const RoundProposal& proposal) {
  if (closed_) return;
  if (proposal.members.empty() || proposal.members.front() != from)
    return Refuse(from, proposal, "its first member has to propose it");
  if (const auto group = Find(proposal.round)) {
    if (group->terms().members.front() != from)
      return Refuse(from, proposal, "its number is in use; propose again");
    return static_cast<void>(Accept(from, proposal.round));
  }
  const auto found = forming_.find(proposal.name);
  if (found != forming_.end())
    return Judge(proposal.name, found->second, proposal);
  std::erase_if(held_, [now = Clock::now()](const auto& entry) {
    return entry.second.until < now;
  });
  if (std::count_if(held_.begin(), held_.end(), [&from](const auto& entry) {
        return entry.first.first == from;
      }) >= kMaxHeld)
    return Refuse(from, proposal, "too many proposals wait here");
  auto& held = held_[{from, proposal.name}];
  const bool news = held.proposal.round != proposal.round;
  held = {proposal,
          Clock::now() + std::min(Milliseconds(proposal.limit_ms), kMaxLimit)};
  if (news && told_)
    network_.Post([this, name = proposal.name, members = proposal.members] {
      told_(name, members);
    });
}

void LiveCollectives::Judge(const std::string& name, Forming& forming,
                            const RoundProposal& proposal) {
  auto difference = Difference(proposal, forming.terms);
  if (difference.empty() && (proposal.piece_bytes > limits_.largest_piece ||
                             proposal.piece_bytes % sizeof(float) != 0))
    difference = "pieces of " + std::to_string(proposal.piece_bytes) +
                 " bytes, here at most " +
                 std::to_string(limits_.largest_piece);
  if (difference.empty() && forming.group &&
      forming.terms.members.front() == self_)
    difference = "it has been proposed";
  const auto& first = proposal.members.front();
  if (!difference.empty()) {
    Refuse(first, proposal, difference);
    if (first != forming.terms.members.front() || forming.group) return;
    return network_.Post([this, name, first, difference] {
      Fail(name, {ErrorCode::kRefused, first + ": " + difference});
    });
  }
  if (forming.group) {  // The first has given that one up.
    groups_.erase(forming.group->id());
    forming.group->Close({ErrorCode::kRefused, "proposed anew"});
  }
  forming.terms.algorithm = static_cast<Algorithm>(proposal.algorithm);
  forming.terms.piece_bytes = proposal.piece_bytes;
  forming.group = std::make_shared<LiveGroup>(network_, proposal.round,
                                              forming.terms, self_);
  groups_[proposal.round] = forming.group;
  if (Say(name, forming))
    network_.Post([this, first, id = proposal.round] {
      if (const auto found = FindForming(id); found != forming_.end())
        Fail(found->first, {ErrorCode::kPeerGone, first + ": not connected"});
    });
}

void LiveCollectives::Refuse(const std::string& from,
                             const RoundProposal& proposal,
                             const std::string& reason) {
  std::string text = "group " + proposal.name + ": " + reason;
  text.resize(std::min(text.size(), kMaxReasonBytes));
  static_cast<void>(network_.Tell(
      from, RoundVerdict{
                .round = proposal.round, .accepted = false, .reason = text}));
}

LiveCollectives::FormingMap::iterator LiveCollectives::FindForming(
    std::uint64_t id) {
  return std::find_if(forming_.begin(), forming_.end(), [&](const auto& entry) {
    return entry.second.group && entry.second.group->id() == id;
  });
}

void LiveCollectives::OnVerdict(const std::string& from,
                                const RoundVerdict& verdict) {
  const auto found = FindForming(verdict.round);
  if (found == forming_.end()) {
    std::erase_if(held_, [&](const auto& entry) {
      return !verdict.accepted && entry.first.first == from &&
             entry.second.proposal.round == verdict.round;
    });
    const auto group = Find(verdict.round);
    if (group && !verdict.accepted)
      group->Lose(from, {ErrorCode::kRefused, from + ": " + verdict.reason});
    else if (group && group->terms().members.front() == self_)
      static_cast<void>(network_.Tell(from, verdict));  // The last word, again.
    return;
  }
  const auto& members = found->second.terms.members;
  const bool first = members.front() == self_;
  if (std::find(members.begin(), members.end(), from) == members.end() ||
      (!first && from != members.front()))
    return;
  const std::string name = found->first;
  if (!verdict.accepted)
    return Fail(name, {ErrorCode::kRefused, from + ": " + verdict.reason});
  if (first) return OnAccepted(verdict.round, from);
  Succeed(name);
}

void LiveCollectives::OnAccepted(std::uint64_t id, const std::string& from) {
  const auto found = FindForming(id);
  if (found == forming_.end()) return;
  Forming& forming = found->second;
  const auto& members = forming.terms.members;
  const auto rank = std::find(members.begin(), members.end(), from);
  forming.accepted[static_cast<std::size_t>(rank - members.begin())] = true;
  if (std::find(forming.accepted.begin(), forming.accepted.end(), false) !=
      forming.accepted.end())
    return;
  TellAll(*forming.group, {.round = id, .accepted = true, .reason = {}});
  Succeed(found->first);
}

void LiveCollectives::TellAll(const LiveGroup& group,
                              const RoundVerdict& verdict) {
  for (const auto& member : group.terms().members)
    if (member != self_) static_cast<void>(network_.Tell(member, verdict));
}

void LiveCollectives::Succeed(const std::string& name) {
  const auto forming = forming_.extract(name);
  forming.mapped().done(
      std::static_pointer_cast<Group>(forming.mapped().group));
}

// The first tells all; another tells the first, which tells the rest.
void LiveCollectives::Fail(std::string name, const Error& why) {
  auto forming = forming_.extract(name);
  if (forming.empty()) return;
  if (const auto& group = forming.mapped().group) {
    RoundVerdict verdict{
        .round = group->id(), .accepted = false, .reason = why.detail};
    verdict.reason.resize(std::min(verdict.reason.size(), kMaxReasonBytes));
    const auto& first = forming.mapped().terms.members.front();
    if (first == self_)
      TellAll(*group, verdict);
    else
      static_cast<void>(network_.Tell(first, verdict));
    groups_.erase(group->id());
    group->Close(why);
  }
  forming.mapped().done(why);
}

std::shared_ptr<LiveGroup> LiveCollectives::Find(std::uint64_t id) {
  const auto found = groups_.find(id);
  if (found == groups_.end()) return nullptr;
  auto group = found->second.lock();
  if (!group) groups_.erase(found);
  return group;
}

std::optional<PieceSink::Place> LiveCollectives::OnPiece(
    const std::string& from, const RoundPiece& piece, std::size_t length) {
  const auto group = Find(piece.round);
  if (!group) return std::nullopt;
  return group->Claim(from, piece, length);
}

void LiveCollectives::OnPlaced(const std::string& from, const RoundPiece& piece,
                               bool ok) {
  if (const auto group = Find(piece.round)) group->OnPlaced(from, piece, ok);
}

void LiveCollectives::Lose(const std::string& member,
                           const std::string& reason) {
  const Error why{ErrorCode::kPeerGone, member + ": " + reason};
  std::vector<std::string> lost;
  for (const auto& [name, forming] : forming_)
    if (forming.group &&
        std::find(forming.terms.members.begin(), forming.terms.members.end(),
                  member) != forming.terms.members.end())
      lost.push_back(name);
  for (const auto& name : lost) Fail(name, why);
  const auto groups = groups_;
  for (const auto& [id, weak] : groups)
    if (const auto group = weak.lock()) group->Lose(member, why);
}

void LiveCollectives::OnTime(Clock::time_point now) {
  std::vector<std::string> late;
  for (const auto& [name, forming] : forming_)
    if (now >= forming.until) late.push_back(name);
  for (auto& [name, forming] : forming_)
    if (forming.group && now >= forming.again) Say(name, forming);
  for (const auto& name : late) {
    const auto& forming = forming_.at(name);
    std::string waited_for = forming.terms.members.front();
    for (std::size_t i = forming.accepted.size(); i-- > 0;)
      if (!forming.accepted[i]) waited_for = forming.terms.members[i];
    Fail(name, {ErrorCode::kTimeout,
                "group " + name + ": no answer from " + waited_for});
  }
  const auto groups = groups_;
  for (const auto& [id, weak] : groups) {
    if (const auto group = weak.lock())
      group->OnTime(now);
    else
      groups_.erase(id);
  }
}

bool LiveCollectives::busy() const {
  return !forming_.empty() ||
         std::any_of(groups_.begin(), groups_.end(), [](const auto& entry) {
           const auto group = entry.second.lock();
           return group && group->running();
         });
}

void LiveCollectives::Close() {
  if (closed_) return;
  const Error why{ErrorCode::kClosed, "this node is leaving"};
  while (!forming_.empty()) Fail(forming_.begin()->first, why);
  closed_ = true;
  const auto groups = std::exchange(groups_, {});
  for (const auto& [id, weak] : groups)
    if (const auto group = weak.lock()) group->Close(why);
}

}  // namespace hearsay::transport::collective
