// The state that the data plane keeps: a lane for each member it is connected
// with, and what is on its way through it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "transport/assembly.h"
#include "transport/data_lanes.h"
#include "transport/send_queue.h"
#include "transport/transport.h"
#include "transport/wire.h"

namespace hearsay::transport {

// A message on its way in.
struct Incoming {
  Incoming(const ChunkHeader& first, std::size_t chunk_bytes, Buffer payload)
      : assembly(first, chunk_bytes, std::move(payload)), kind(first.kind) {}
  Assembly assembly;
  ChunkKind kind;
  Clock::time_point expires;
  bool dropped = false;  // a piece was bad, or it is no longer wanted
};

// The data connection with one member, while a session with it lasts.
struct Lane {
  std::string node;
  LaneTerms terms;
  Wire::EndpointId endpoint = 0;
  std::shared_ptr<SendQueue> queue;
  std::shared_ptr<Incoming> request;  // being put together
  std::uint64_t last_request = 0;
  LinkCounters* counters = nullptr;
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
  Clock::time_point expires;
  std::shared_ptr<Incoming> answer;
  std::weak_ptr<Outgoing> request;  // while it is being sent
};

}  // namespace hearsay::transport
