// The receiving half of the data plane.
#include <algorithm>
#include <cassert>
#include <utility>

#include "transport/data_plane.h"

namespace hearsay::transport {
namespace {

// What a session says of a piece: its reason to refuse it, if it has one.
struct Judgement {
  std::uint64_t LinkCounters::*refusal = nullptr;
  bool proven = false;  // it is the peer's all the same
  std::shared_ptr<seal::EpochKeys> keys;
};

Judgement Judge(LaneSession& session, const ChunkHeader& header) {
  if (header.sealed != session.opener.has_value())
    return {&LinkCounters::dropped_unsealed, false, nullptr};
  if (!session.opener) return {};
  auto admission = session.opener->Admit(header, Clock::now());
  using Verdict = seal::Opener::Verdict;
  switch (admission.verdict) {
    case Verdict::kGood:
      return {nullptr, true, std::move(admission.keys)};
    case Verdict::kForged:
      return {&LinkCounters::dropped_forged, false, nullptr};
    case Verdict::kReplayed:
      return {&LinkCounters::dropped_replayed, true, nullptr};
    case Verdict::kStale:
      return {&LinkCounters::dropped_stale, true, nullptr};
    case Verdict::kEpoch:
      break;
  }
  return {&LinkCounters::dropped_epoch, false, nullptr};
}

}  // namespace

std::optional<Wire::Receive> DataPlane::OnChunk(
    std::span<const std::byte> bytes, std::size_t received) {
  if (closed_) return std::nullopt;
  const auto header = DecodeChunk(bytes);
  if (!header) {
    ++counters_[""].dropped_checksum;
    return std::nullopt;
  }
  const auto sender = SenderOf(*header);
  if (!sender) return std::nullopt;
  if (!CheckBounds(*header, options_.array_bytes,
                   sender->session->terms.chunk_bytes, received)) {
    ++sender->lane->counters->dropped_size;
    return std::nullopt;
  }
  sender->lane->counters->bytes_in += received;
  switch (header->kind) {
    case ChunkKind::kRequest:
      return OnRequestChunk(*sender, *header);
    case ChunkKind::kAnswer:
      return OnAnswerChunk(*sender, *header);
    case ChunkKind::kRound:
      return OnRoundChunk(*sender, *header);
  }
  return std::nullopt;
}

std::optional<DataPlane::Sender> DataPlane::SenderOf(
    const ChunkHeader& header) {
  const auto found = by_token_.find(header.token);
  const auto lane = found == by_token_.end() ? nullptr : found->second.lock();
  if (!lane) {
    ++counters_[""].dropped_stranger;
    return std::nullopt;
  }
  // Sessions of one member may share a token: the proof tells which it is. Of
  // several refusals, the one counts that proves the sender, or the newest's.
  std::uint64_t LinkCounters::*refusal = nullptr;
  const auto sessions = lane->sessions;
  for (auto at = sessions.rbegin(); at != sessions.rend(); ++at) {
    const auto& session = *at;
    if (session->terms.token != header.token) continue;
    const auto verdict = Judge(*session, header);
    if (!verdict.refusal) {
      if (!std::exchange(session->proven, true)) Use(lane, session);
      return Sender{lane, session, verdict.keys};
    }
    if (refusal == nullptr || verdict.proven) refusal = verdict.refusal;
    if (verdict.proven) break;
  }
  assert(refusal != nullptr);
  ++(lane->counters->*refusal);
  return std::nullopt;
}

bool DataPlane::Reveal(const Sender& sender, const ChunkHeader& header,
                       std::span<std::byte> bytes, bool arrived) {
  if (arrived && (sender.keys ? sender.keys->Open(header, bytes)
                              : ChecksumTag(bytes) == header.check))
    return true;
  ++(arrived && sender.keys ? sender.lane->counters->dropped_forged
                            : sender.lane->counters->dropped_checksum);
  return false;
}

std::shared_ptr<Incoming> DataPlane::Begin(const Sender& sender,
                                           const ChunkHeader& header) {
  Buffer payload;
  if (header.total > 0 && !(payload = pool_->Take())) {
    ++sender.lane->counters->dropped_full;
    return nullptr;
  }
  return std::make_shared<Incoming>(header, sender.session->terms.chunk_bytes,
                                    std::move(payload));
}

std::optional<Wire::Receive> DataPlane::OnRequestChunk(
    const Sender& sender, const ChunkHeader& header) {
  Lane& lane = *sender.lane;
  if (header.exchange < lane.last_request ||
      (header.exchange == lane.last_request && !lane.request)) {
    ++lane.counters->dropped_late;
    return std::nullopt;
  }
  if (header.exchange > lane.last_request) {
    lane.last_request = header.exchange;
    // Unless all of it is here or on its way, its asker has given it up.
    if (lane.request && !lane.request->assembly.claimed())
      Drop(sender.lane, lane.request);
    lane.request = Begin(sender, header);
    if (!lane.request) return std::nullopt;
    lane.request->reply = std::make_shared<Reply>();
    lane.request->reply->exchange = header.exchange;
    lane.request->reply->expires =
        Clock::now() + std::min(Milliseconds(header.deadline_ms), kMaxExchange);
    Sweep();
  }
  return Place(sender, lane.request, header);
}

std::optional<Wire::Receive> DataPlane::OnAnswerChunk(
    const Sender& sender, const ChunkHeader& header) {
  const auto found = pending_.find(header.exchange);
  if (found == pending_.end() || found->second->lane != sender.lane) {
    ++sender.lane->counters->dropped_late;
    return std::nullopt;
  }
  Pending& pending = *found->second;
  if (!pending.answer && !(pending.answer = Begin(sender, header)))
    return std::nullopt;
  return Place(sender, pending.answer, header);
}

std::optional<Wire::Receive> DataPlane::OnRoundChunk(
    const Sender& sender, const ChunkHeader& header) {
  const RoundPiece piece{
      .round = header.exchange, .tag = header.version, .offset = header.offset};
  auto place = sink_ == nullptr
                   ? std::nullopt
                   : sink_->OnPiece(sender.lane->node, piece, header.length);
  if (!place) {
    ++sender.lane->counters->dropped_late;
    return std::nullopt;
  }
  return Wire::Receive{
      .into = place->into,
      .keep = std::move(place->keep),
      .done = [weak = weak_from_this(), sender, piece, header,
               into = place->into](bool arrived) {
        const auto self = weak.lock();
        if (!self || self->sink_ == nullptr || sender.lane->closed) return;
        const bool good = Reveal(sender, header, into, arrived);
        self->sink_->OnPlaced(sender.lane->node, piece, good);
      }};
}

std::optional<Wire::Receive> DataPlane::Place(
    const Sender& sender, const std::shared_ptr<Incoming>& into,
    const ChunkHeader& header) {
  const auto place = into->assembly.Claim(header);
  if (!place || into->dropped) {
    ++sender.lane->counters->dropped_late;
    return std::nullopt;
  }
  return Wire::Receive{.into = *place,
                       .keep = into,
                       .done = [weak = weak_from_this(), sender, into, header,
                                place = *place](bool arrived) {
                         const auto self = weak.lock();
                         if (!self || sender.lane->closed) return;
                         if (into->dropped) {
                           ++sender.lane->counters->dropped_late;
                           return;
                         }
                         self->OnPlaced(sender, into, header,
                                        Reveal(sender, header, place, arrived));
                       }};
}

void DataPlane::OnPlaced(const Sender& sender,
                         const std::shared_ptr<Incoming>& into,
                         const ChunkHeader& header, bool good) {
  const auto& lane = sender.lane;
  if (!good) return OnDamaged(sender, into);
  into->assembly.Accept();
  if (header.total > 0 && !std::exchange(into->begun, true))
    into->on_piece = OnBegun(lane, *into);
  if (into->on_piece) into->on_piece(header.offset, header.length);
  if (into->dropped || !into->assembly.complete()) return;
  if (into->kind == ChunkKind::kRequest) return OnRequestWhole(lane, into);
  ++lane->counters->answers_in;
  Finish(header.exchange, Message{.version = into->assembly.version(),
                                  .payload = into->assembly.payload()});
}

void DataPlane::OnDamaged(const Sender& sender,
                          const std::shared_ptr<Incoming>& into) {
  const auto& lane = sender.lane;
  if (into->kind == ChunkKind::kRequest) {
    if (lane->request == into) lane->request.reset();
    return Drop(lane, into);
  }
  into->Drop();
  Finish(into->assembly.exchange(),
         Error{ErrorCode::kMalformed,
               lane->node + ": its answer arrived damaged"});
}

OnPiece DataPlane::OnBegun(const std::shared_ptr<Lane>& lane,
                           const Incoming& message) {
  const Message begun{.version = message.assembly.version(),
                      .payload = message.assembly.payload()};
  if (message.kind == ChunkKind::kAnswer) {
    const auto& on_answer = pending_.at(message.assembly.exchange())->on_answer;
    return on_answer ? on_answer(begun) : nullptr;
  }
  if (!events_.on_request_begin) return nullptr;
  return events_.on_request_begin(
      lane->node, begun,
      [weak = weak_from_this(), to = std::weak_ptr(lane),
       reply = message.reply](Message answer) {
        if (const auto self = weak.lock())
          self->AnswerAhead(to, reply, std::move(answer));
      });
}

void DataPlane::OnRequestWhole(const std::shared_ptr<Lane>& lane,
                               const std::shared_ptr<Incoming>& request) {
  if (lane->request == request) lane->request.reset();
  ++lane->counters->requests_in;
  if (!events_.on_request) return;
  events_.on_request(
      lane->node,
      Message{.version = request->assembly.version(),
              .payload = request->assembly.payload()},
      [weak = weak_from_this(), node = lane->node, to = std::weak_ptr(lane),
       reply = request->reply](Message answer) {
        if (const auto self = weak.lock())
          self->Answer(node, to, reply, std::move(answer));
      });
}

}  // namespace hearsay::transport
