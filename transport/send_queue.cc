#include "transport/send_queue.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace hearsay::transport {
namespace {

// Enough to fill the pipe, few enough to stop soon when the deadline passes.
constexpr std::size_t kWindow = 4;
constexpr std::size_t kMaxMessages = 16;
// Collectives have windows of their own, far below this.
constexpr std::size_t kMaxPieces = 1024;

std::size_t TotalOf(const Outgoing& message) {
  return message.message.payload ? message.message.payload->size() : 0;
}

void End(Outgoing& message, const std::optional<Error>& error) {
  message.message.payload.reset();
  const auto on_end = std::exchange(message.on_end, nullptr);
  if (on_end && !message.held) on_end(error);
}

std::uint32_t MillisecondsUntil(Clock::time_point expires) {
  const auto left =
      std::chrono::ceil<Milliseconds>(expires - Clock::now()).count();
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(left, 0, UINT32_MAX));
}

}  // namespace

SendQueue::SendQueue(Wire& wire, Wire::EndpointId endpoint,
                     std::shared_ptr<BufferPool> staging,
                     LinkCounters& counters)
    : wire_(wire),
      endpoint_(endpoint),
      staging_(std::move(staging)),
      chunk_bytes_(staging_->bytes_each()),
      window_bytes_(wire.window_bytes(endpoint)),
      counters_(counters) {}

bool SendQueue::full() const { return messages_.size() >= kMaxMessages; }

void SendQueue::Push(std::shared_ptr<Outgoing> message) {
  if (closed_) return End(*message, Error{ErrorCode::kPeerGone, "it is gone"});
  if (full())
    return End(*message,
               Error{ErrorCode::kTimeout, "too many messages wait for it"});
  messages_.push_back(std::move(message));
  Pump();
}

void SendQueue::Release(Outgoing& message) {
  message.held = false;
  Pump();
}

void SendQueue::Cancel(Outgoing& message) {
  message.expires = Clock::time_point::min();
  Pump();
}

void SendQueue::PushPiece(const RoundPiece& piece,
                          std::span<const std::byte> bytes,
                          std::shared_ptr<void> keep,
                          std::function<void(bool)> done) {
  if (closed_ || pieces_.size() >= kMaxPieces) return done(false);
  pieces_.push_back({piece, bytes, std::move(keep), std::move(done)});
  Pump();
}

void SendQueue::Close(const Error& error) {
  closed_ = true;
  const auto messages = std::exchange(messages_, {});
  for (const auto& message : messages) End(*message, error);
  const auto pieces = std::exchange(pieces_, {});
  for (const auto& piece : pieces) piece.done(false);
}

void SendQueue::Pump() {
  const auto self = shared_from_this();
  while (!closed_ && has_room() && SendNext()) {
  }
  EndFinished();
}

// The first has room whatever its size.
bool SendQueue::has_room() const {
  return in_flight_ < kWindow && bytes_in_flight_ < window_bytes_;
}

bool SendQueue::SendNext() {
  const std::size_t turns = messages_.size() + 1;
  for (std::size_t i = 1; i <= turns; ++i) {
    const std::size_t turn = (turn_ + i) % turns;
    if (turn == messages_.size()) {
      if (pieces_.empty()) continue;
      SendRoundPiece();
    } else {
      const auto message = messages_[turn];
      const auto first = std::find_if(
          messages_.begin(), messages_.end(), [](const auto& other) {
            return other->kind == ChunkKind::kRequest && !other->posted;
          });
      if (!CanSend(*message, first != messages_.end() && *first == message))
        continue;
      SendPieceOf(message);
    }
    turn_ = turn;
    return true;
  }
  return false;
}

bool SendQueue::CanSend(const Outgoing& message, bool first_request) const {
  if (message.posted || Clock::now() >= message.expires) return false;
  if (message.kind == ChunkKind::kRequest && !first_request) return false;
  const bool last = TotalOf(message) - message.offset <= chunk_bytes_;
  return !(message.held && last);
}

void SendQueue::SendPieceOf(const std::shared_ptr<Outgoing>& message) {
  const Buffer& payload = message->message.payload;
  const std::size_t total = TotalOf(*message);
  const std::size_t length = std::min(chunk_bytes_, total - message->offset);
  const ChunkHeader header{.kind = message->kind,
                           .exchange = message->exchange,
                           .version = message->message.version,
                           .total = total,
                           .offset = message->offset,
                           .length = static_cast<std::uint32_t>(length),
                           .deadline_ms = MillisecondsUntil(message->expires)};
  const std::span<const std::byte> piece =
      payload ? payload->subspan(message->offset, length)
              : std::span<std::byte>();
  message->offset += length;
  message->posted = message->offset == total;
  ++message->in_flight;
  Send(header, piece, payload, [message](bool) { --message->in_flight; });
}

void SendQueue::SendRoundPiece() {
  Piece piece = std::move(pieces_.front());
  pieces_.pop_front();
  Send({.kind = ChunkKind::kRound,
        .exchange = piece.name.round,
        .version = piece.name.tag,
        .total = piece.bytes.size(),
        .offset = piece.name.offset,
        .length = static_cast<std::uint32_t>(piece.bytes.size())},
       piece.bytes, std::move(piece.keep), std::move(piece.done));
}

void SendQueue::Send(ChunkHeader header, std::span<const std::byte> bytes,
                     std::shared_ptr<void> keep,
                     std::function<void(bool)> done) {
  header.token = token_;
  if (sealer_) {
    const Buffer sealed = bytes.empty() ? nullptr : staging_->Take();
    const auto out =
        sealed ? sealed->first(bytes.size()) : std::span<std::byte>();
    sealer_->Seal(header, bytes, out, Clock::now());
    bytes = out;
    keep = sealed;
  } else {
    header.check = ChecksumTag(bytes);
  }
  counters_.bytes_out += bytes.size();
  ++in_flight_;
  bytes_in_flight_ += bytes.size();
  // A send that fails breaks the endpoint, which tells by itself.
  wire_.Send(endpoint_, EncodeChunk(header), bytes, std::move(keep),
             [weak = weak_from_this(), size = bytes.size(),
              done = std::move(done)](bool sent) {
               done(sent);
               const auto self = weak.lock();
               if (!self) return;
               --self->in_flight_;
               self->bytes_in_flight_ -= size;
               if (!self->closed_) self->Pump();
             });
}

void SendQueue::EndFinished() {
  const auto now = Clock::now();
  const auto sent_or_late = [now](const auto& message) {
    return message->posted || now >= message->expires;
  };
  // The wire keeps what it holds; a peer that does not read may hold that for
  // long, and sealed pieces are no part of the array.
  for (const auto& message : messages_)
    if (sent_or_late(message)) message->message.payload.reset();
  const auto over = [&](const auto& message) {
    return message->in_flight == 0 && sent_or_late(message);
  };
  std::vector<std::shared_ptr<Outgoing>> ended;
  std::copy_if(messages_.begin(), messages_.end(), std::back_inserter(ended),
               over);
  if (ended.empty()) return;
  std::erase_if(messages_, over);
  for (const auto& message : ended) {
    if (message->posted)
      End(*message, std::nullopt);
    else
      End(*message, Error{ErrorCode::kTimeout, "not sent in time"});
  }
  // The next request has waited for this moment.
  if (!closed_) Pump();
}

}  // namespace hearsay::transport
