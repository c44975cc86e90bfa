// What one lane has to send: messages in order, each cut into pieces, a few of
// which UCX holds at a time.
//
// One message after the other: the next begins when UCX has finished with all
// of this one, so a receiver sees the messages of a lane one at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "transport/chunk.h"
#include "transport/transport.h"
#include "transport/wire.h"

namespace hearsay::transport {

struct Outgoing {
  ChunkKind kind = ChunkKind::kRequest;
  std::uint64_t exchange = 0;
  Message message;
  Clock::time_point expires;
  // Once: nothing = all of it was sent.
  std::function<void(const std::optional<Error>&)> on_end;

  // Nobody waits for it any more: what is unsent stays unsent, and its buffer
  // is free at once, unless UCX holds it.
  void Cancel();

  std::size_t offset = 0;  // of the next piece
  std::size_t in_flight = 0;
  bool posted = false;  // every piece
};

class SendQueue : public std::enable_shared_from_this<SendQueue> {
 public:
  // `token` goes into every piece. `counters` and `wire` outlive the queue's
  // last use: Close comes before their end.
  SendQueue(Wire& wire, Wire::EndpointId endpoint, std::uint64_t token,
            std::size_t chunk_bytes, LinkCounters& counters);

  bool full() const;
  // Refuses, through on_end, what comes to a full or closed queue.
  void Push(std::shared_ptr<Outgoing> message);
  // Every message ends with `error`. Buffers that UCX holds stay held.
  void Close(const Error& error);

 private:
  void Pump();
  void SendPiece(const std::shared_ptr<Outgoing>& message);

  Wire& wire_;
  const Wire::EndpointId endpoint_;
  const std::uint64_t token_;
  const std::size_t chunk_bytes_;
  LinkCounters& counters_;
  std::deque<std::shared_ptr<Outgoing>> messages_;
  bool closed_ = false;
};

}  // namespace hearsay::transport
