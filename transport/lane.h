// The state that the data plane keeps: a lane for each member it is connected
// with, and what is on its way through it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "transport/assembly.h"
#include "transport/data_lanes.h"
#include "transport/seal/seal.h"
#include "transport/send_queue.h"
#include "transport/transport.h"
#include "transport/wire.h"

namespace hearsay::transport {

// What becomes of a request, as far as its owner decides.
struct Reply {
  std::uint64_t exchange = 0;
  Clock::time_point expires;
  bool closed = false;              // answered, or the request was dropped
  std::shared_ptr<Outgoing> ahead;  // given while the request still arrived
};

// A message on its way in.
struct Incoming {
  Incoming(const ChunkHeader& first, std::size_t chunk_bytes, Buffer payload)
      : assembly(first, chunk_bytes, std::move(payload)), kind(first.kind) {}
  Assembly assembly;
  ChunkKind kind;
  std::shared_ptr<Reply> reply;  // of a request
  bool begun = false;            // its owner has been told
  OnPiece on_piece;
  bool dropped = false;  // a piece was bad, or it is no longer wanted

  void Drop() {
    dropped = true;
    on_piece = nullptr;
  }
};

// How long what belongs to a session lasts; tests have less patience.
struct SessionLimits {
  seal::Limits seal;
  // For how long pieces on the terms of an earlier session are taken, and a new
  // session may go unused: longer than a handshake, and than what the wire
  // holds takes to arrive.
  Clock::duration overlap = std::chrono::seconds{10};
};

// What one session has agreed on, and its keys. Pieces are taken on any of a
// lane's sessions, and sent on one: see DataPlane::Renew.
struct LaneSession {
  LaneTerms terms;  // with the secret's fingerprint in place of the secret
  Clock::time_point expires;
  bool proven = false;  // the peer has it, too
  // If it has a secret:
  std::shared_ptr<seal::Sealer> sealer;
  std::optional<seal::Opener> opener;
};

// The data connection with one process, as long as there is a session with it.
struct Lane {
  std::string node;
  std::string worker_address;
  std::vector<std::shared_ptr<LaneSession>> sessions;  // The newest last.
  std::shared_ptr<LaneSession> current;                // that it sends on
  Wire::EndpointId endpoint = 0;
  std::shared_ptr<SendQueue> queue;
  std::shared_ptr<Incoming> request;  // being put together
  std::uint64_t last_request = 0;
  LinkCounters* counters = nullptr;
  bool broken = false;
  bool closed = false;
};

// An exchange of this node's own.
struct Pending {
  Pending(boost::asio::io_context& io, std::shared_ptr<Lane> to,
          std::function<void(Result<Message>)> callback)
      : lane(std::move(to)), done(std::move(callback)), timer(io) {}
  std::shared_ptr<Lane> lane;
  std::function<void(Result<Message>)> done;
  boost::asio::steady_timer timer;
  OnAnswerBegin on_answer;
  std::shared_ptr<Incoming> answer;
  std::weak_ptr<Outgoing> request;  // while it is being sent
};

}  // namespace hearsay::transport
