// What one lane has to send: messages cut into pieces, and single pieces of
// collectives, a few of which the wire holds at a time.
//
// They take turns, so that nothing waits for the end of something large. Only
// requests go one after the other: the next begins when the wire has been given
// all of this one, so a receiver sees the requests of a lane one at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "transport/chunk.h"
#include "transport/round_pieces.h"
#include "transport/seal/seal.h"
#include "transport/transport.h"
#include "transport/wire.h"

namespace hearsay::transport {

struct Outgoing {
  ChunkKind kind = ChunkKind::kRequest;
  std::uint64_t exchange = 0;
  Message message;
  Clock::time_point expires;
  // Its last piece waits for Release. If it never comes, nobody hears of the
  // end: the message was never one.
  bool held = false;
  // Once: nothing = all of it was sent.
  std::function<void(const std::optional<Error>&)> on_end;

  std::size_t offset = 0;  // of the next piece
  std::size_t in_flight = 0;
  bool posted = false;  // every piece
};

class SendQueue : public std::enable_shared_from_this<SendQueue> {
 public:
  // `counters` and `wire` outlive the queue's last use: Close comes before
  // their end. `staging`: memory of sealed pieces on their way out (arrays
  // themselves are never changed), as large as a piece may be; other queues'
  // too, so that it is as much as what is on its way needs, not each lane.
  // Without a limit: windows are the limit.
  SendQueue(Wire& wire, Wire::EndpointId endpoint,
            std::shared_ptr<BufferPool> staging, LinkCounters& counters);

  // From the next piece on; open if there is no sealer.
  // Requires: called before anything is sent.
  void Use(std::uint64_t token, std::shared_ptr<seal::Sealer> sealer) {
    token_ = token;
    sealer_ = std::move(sealer);
  }

  bool full() const;
  bool idle() const { return messages_.empty() && pieces_.empty(); }
  // Refuses, through on_end, what comes to a full or closed queue.
  void Push(std::shared_ptr<Outgoing> message);
  void Release(Outgoing& message);
  // Nobody waits for it any more: what is unsent stays unsent, and its buffer
  // is free as soon as the wire has let go of it.
  void Cancel(Outgoing& message);
  // As PieceLanes::SendPiece, but `done` may be called from within.
  void PushPiece(const RoundPiece& piece, std::span<const std::byte> bytes,
                 std::shared_ptr<void> keep,
                 std::function<void(bool sent)> done);
  // Sends what can be sent, and ends what has expired.
  void Pump();
  // Every message ends with `error`. Buffers that the wire holds stay held.
  void Close(const Error& error);

 private:
  struct Piece {
    RoundPiece name;
    std::span<const std::byte> bytes;
    std::shared_ptr<void> keep;
    std::function<void(bool)> done;
  };

  bool SendNext();
  bool has_room() const;
  bool CanSend(const Outgoing& message, bool first_request) const;
  void SendPieceOf(const std::shared_ptr<Outgoing>& message);
  void SendRoundPiece();
  void Send(ChunkHeader header, std::span<const std::byte> bytes,
            std::shared_ptr<void> keep, std::function<void(bool)> done);
  void EndFinished();

  Wire& wire_;
  const Wire::EndpointId endpoint_;
  const std::shared_ptr<BufferPool> staging_;
  const std::size_t chunk_bytes_;
  const std::size_t window_bytes_;
  LinkCounters& counters_;
  std::uint64_t token_ = 0;
  std::shared_ptr<seal::Sealer> sealer_;
  std::vector<std::shared_ptr<Outgoing>> messages_;  // The oldest first.
  std::deque<Piece> pieces_;
  std::size_t turn_ = 0;       // whose it was: a message's index, or pieces_'
  std::size_t in_flight_ = 0;  // pieces of any kind
  std::size_t bytes_in_flight_ = 0;
  bool closed_ = false;
};

}  // namespace hearsay::transport
