#include "transport/send_queue.h"

#include <algorithm>
#include <utility>

namespace hearsay::transport {
namespace {

// Enough to fill the pipe, few enough to stop soon when the deadline passes.
constexpr std::size_t kWindow = 4;
constexpr std::size_t kMaxMessages = 16;

void End(Outgoing& message, const std::optional<Error>& error) {
  message.message.payload.reset();
  if (const auto on_end = std::exchange(message.on_end, nullptr)) on_end(error);
}

std::uint32_t MillisecondsUntil(Clock::time_point expires) {
  const auto left =
      std::chrono::ceil<Milliseconds>(expires - Clock::now()).count();
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(left, 0, UINT32_MAX));
}

}  // namespace

void Outgoing::Cancel() {
  expires = Clock::time_point::min();
  if (in_flight == 0) message.payload.reset();
}

SendQueue::SendQueue(Wire& wire, Wire::EndpointId endpoint, std::uint64_t token,
                     std::size_t chunk_bytes, LinkCounters& counters)
    : wire_(wire),
      endpoint_(endpoint),
      token_(token),
      chunk_bytes_(chunk_bytes),
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

void SendQueue::Close(const Error& error) {
  closed_ = true;
  const auto messages = std::exchange(messages_, {});
  for (const auto& message : messages) End(*message, error);
}

void SendQueue::Pump() {
  const auto self = shared_from_this();
  while (!messages_.empty()) {
    const auto message = messages_.front();
    if (Clock::now() < message->expires)
      while (!message->posted && message->in_flight < kWindow)
        SendPiece(message);
    if (message->in_flight > 0) return;
    messages_.pop_front();
    if (message->posted)
      End(*message, std::nullopt);
    else
      End(*message, Error{ErrorCode::kTimeout, "not sent in time"});
  }
}

void SendQueue::SendPiece(const std::shared_ptr<Outgoing>& message) {
  const Buffer& payload = message->message.payload;
  const std::size_t total = payload ? payload->size() : 0;
  const std::size_t length = std::min(chunk_bytes_, total - message->offset);
  const std::span<const std::byte> piece =
      payload ? payload->subspan(message->offset, length)
              : std::span<std::byte>();
  const ChunkHeader header{.kind = message->kind,
                           .token = token_,
                           .exchange = message->exchange,
                           .version = message->message.version,
                           .total = total,
                           .offset = message->offset,
                           .length = static_cast<std::uint32_t>(length),
                           .deadline_ms = MillisecondsUntil(message->expires),
                           .checksum = Checksum(piece)};
  message->offset += length;
  message->posted = message->offset == total;
  ++message->in_flight;
  counters_.bytes_out += length;
  // A send that fails breaks the endpoint, which tells by itself.
  wire_.Send(endpoint_, EncodeChunk(header), piece, payload,
             [weak = weak_from_this(), message](bool) {
               --message->in_flight;
               const auto self = weak.lock();
               if (self && !self->closed_) self->Pump();
             });
}

}  // namespace hearsay::transport
