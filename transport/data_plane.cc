#include "transport/data_plane.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <stdexcept>
#include <utility>

namespace hearsay::transport {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr Milliseconds kMaxDeadline{std::chrono::hours{1}};
constexpr Milliseconds kSweep{100};
// Members that are gone are counted until there are this many.
constexpr std::size_t kMaxCounted = 1024;
constexpr Milliseconds kShutdownLimit{1000};

}  // namespace

DataPlane::DataPlane(asio::io_context& io, const Options& options,
                     const MakeWire& make_wire,
                     std::shared_ptr<BufferPool> pool, Events events)
    : io_(io),
      options_(options),
      pool_(std::move(pool)),
      events_(std::move(events)),
      sweeper_(io),
      wire_(make_wire(
          [this](std::span<const std::byte> header, std::size_t received) {
            return OnChunk(header, received);
          })) {}

DataPlane::~DataPlane() { closed_ = true; }

void DataPlane::Adopt(asio::ip::tcp::socket socket) {
  if (wire_) wire_->Adopt(std::move(socket));
}

std::string DataPlane::Open(const std::string& node, const LaneTerms& terms) {
  if (closed_) return {};
  const auto found = lanes_.find(node);
  if (found != lanes_.end()) {
    if (found->second->terms == terms)
      return wire_->lane(found->second->endpoint);
    Close(node, "it has begun a new connection");
  }
  const auto endpoint =
      wire_->Connect(terms.grant.worker_address,
                     [weak = weak_from_this(), node,
                      token = terms.token](const std::string& reason) {
                       const auto self = weak.lock();
                       if (!self || !self->by_token_.contains(token)) return;
                       if (self->events_.on_broken)
                         self->events_.on_broken(node, reason);
                     });
  if (!endpoint) {
    asio::post(io_, [weak = weak_from_this(), node] {
      const auto self = weak.lock();
      if (self && !self->closed_ && self->events_.on_broken)
        self->events_.on_broken(node, "UCX cannot reach its address");
    });
    return {};
  }
  if (counters_.size() >= kMaxCounted)
    std::erase_if(counters_, [&](const auto& entry) {
      return entry.first != "" && !lanes_.contains(entry.first);
    });
  LinkCounters& counters = counters_[node];
  const auto lane =
      std::make_shared<Lane>(Lane{.node = node,
                                  .terms = terms,
                                  .endpoint = *endpoint,
                                  .queue = std::make_shared<SendQueue>(
                                      *wire_, *endpoint, terms.grant.data_token,
                                      options_.chunk_bytes, counters),
                                  .request = nullptr,
                                  .counters = &counters});
  lanes_[node] = lane;
  by_token_[terms.token] = lane;
  return wire_->lane(*endpoint);
}

void DataPlane::Close(const std::string& node, const std::string& reason) {
  const Error error{ErrorCode::kPeerGone, node + ": " + reason};
  const auto found = lanes_.find(node);
  if (found == lanes_.end()) return;
  const auto lane = found->second;
  lane->closed = true;
  lanes_.erase(found);
  by_token_.erase(lane->terms.token);
  if (wire_) wire_->Close(lane->endpoint);
  lane->request.reset();
  lane->queue->Close(error);
  std::vector<std::uint64_t> lost;
  for (const auto& [exchange, pending] : pending_)
    if (pending->lane == lane) lost.push_back(exchange);
  for (const auto exchange : lost) Finish(exchange, error);
}

void DataPlane::CheckPayload(const Message& message) const {
  if (message.payload && message.payload->size() != options_.array_bytes)
    throw std::invalid_argument(
        "transport: payload of " + std::to_string(message.payload->size()) +
        " bytes where arrays have " + std::to_string(options_.array_bytes));
}

void DataPlane::Exchange(const std::string& to, Message request,
                         Milliseconds deadline, Done done) {
  CheckPayload(request);
  deadline = std::clamp(deadline, Milliseconds(0), kMaxDeadline);
  const auto found = lanes_.find(to);
  std::optional<Error> error;
  if (closed_)
    error = Error{ErrorCode::kClosed, "this node is leaving"};
  else if (found == lanes_.end())
    error = Error{ErrorCode::kPeerGone, to + ": not connected"};
  else if (found->second->queue->full())
    error = Error{ErrorCode::kTimeout, to + ": too many exchanges at once"};
  if (error) {
    asio::post(io_, [done = std::move(done), error] { done(*error); });
    return;
  }
  const auto lane = found->second;
  const std::uint64_t exchange = next_exchange_++;
  auto pending = std::make_unique<Pending>(io_, lane, std::move(done));
  pending->expires = Clock::now() + deadline;
  pending->timer.expires_at(pending->expires);
  pending->timer.async_wait(
      [weak = weak_from_this(), exchange, to](const error_code& cancelled) {
        const auto self = weak.lock();
        if (!self || cancelled || !self->pending_.contains(exchange)) return;
        ++self->counters_[to].timeouts;
        self->Finish(exchange,
                     Error{ErrorCode::kTimeout, to + ": no answer in time"});
      });
  ++lane->counters->requests_out;
  const auto expires = pending->expires;
  auto outgoing = std::make_shared<Outgoing>();
  outgoing->kind = ChunkKind::kRequest;
  outgoing->exchange = exchange;
  outgoing->message = std::move(request);
  outgoing->expires = expires;
  pending->request = outgoing;
  pending_.emplace(exchange, std::move(pending));
  Send(lane, std::move(outgoing));
}

void DataPlane::Finish(std::uint64_t exchange, Result<Message> result) {
  const auto found = pending_.find(exchange);
  if (found == pending_.end()) return;
  const auto pending = std::move(found->second);
  pending_.erase(found);
  pending->timer.cancel();
  if (pending->answer) pending->answer->dropped = true;
  if (const auto request = pending->request.lock()) request->Cancel();
  if (pending->done) pending->done(std::move(result));
}

void DataPlane::Send(const std::shared_ptr<Lane>& lane,
                     std::shared_ptr<Outgoing> message) {
  if (options_.added_delay.count() <= 0)
    return lane->queue->Push(std::move(message));
  const auto timer =
      std::make_shared<asio::steady_timer>(io_, options_.added_delay);
  timer->async_wait([weak = weak_from_this(), queue = lane->queue, timer,
                     message](const error_code& error) {
    const auto self = weak.lock();
    if (self && !error && !self->closed_) queue->Push(message);
  });
}

std::optional<Wire::Receive> DataPlane::OnChunk(
    std::span<const std::byte> bytes, std::size_t received) {
  if (closed_) return std::nullopt;
  const auto header = DecodeChunk(bytes);
  if (!header) {
    ++counters_[""].dropped_checksum;
    return std::nullopt;
  }
  const auto found = by_token_.find(header->token);
  if (found == by_token_.end()) {
    ++counters_[""].dropped_stranger;
    return std::nullopt;
  }
  const auto lane = found->second;
  if (!CheckBounds(*header, options_.array_bytes, lane->terms.chunk_bytes,
                   received)) {
    ++lane->counters->dropped_size;
    return std::nullopt;
  }
  lane->counters->bytes_in += received;
  return header->kind == ChunkKind::kRequest ? OnRequestChunk(lane, *header)
                                             : OnAnswerChunk(lane, *header);
}

std::optional<Wire::Receive> DataPlane::OnRequestChunk(
    const std::shared_ptr<Lane>& lane, const ChunkHeader& header) {
  if (header.exchange < lane->last_request ||
      (header.exchange == lane->last_request && !lane->request)) {
    ++lane->counters->dropped_late;
    return std::nullopt;
  }
  if (header.exchange > lane->last_request) {
    lane->last_request = header.exchange;
    // Unless all of it is here or on its way, its asker has given it up.
    if (lane->request && !lane->request->assembly.claimed())
      lane->request->dropped = true;
    lane->request.reset();
    Buffer payload;
    if (header.total > 0 && !(payload = pool_->Take())) {
      ++lane->counters->dropped_full;
      return std::nullopt;
    }
    lane->request = std::make_shared<Incoming>(header, lane->terms.chunk_bytes,
                                               std::move(payload));
    lane->request->expires =
        Clock::now() + std::min(Milliseconds(header.deadline_ms), kMaxDeadline);
    Sweep();
  }
  return Place(lane, lane->request, header);
}

std::optional<Wire::Receive> DataPlane::OnAnswerChunk(
    const std::shared_ptr<Lane>& lane, const ChunkHeader& header) {
  const auto found = pending_.find(header.exchange);
  if (found == pending_.end() || found->second->lane != lane) {
    ++lane->counters->dropped_late;
    return std::nullopt;
  }
  Pending& pending = *found->second;
  if (!pending.answer) {
    Buffer payload;
    if (header.total > 0 && !(payload = pool_->Take())) {
      ++lane->counters->dropped_full;
      return std::nullopt;
    }
    pending.answer = std::make_shared<Incoming>(header, lane->terms.chunk_bytes,
                                                std::move(payload));
  }
  return Place(lane, pending.answer, header);
}

std::optional<Wire::Receive> DataPlane::Place(
    const std::shared_ptr<Lane>& lane, const std::shared_ptr<Incoming>& into,
    const ChunkHeader& header) {
  const auto place = into->assembly.Claim(header);
  if (!place || into->dropped) {
    ++lane->counters->dropped_late;
    return std::nullopt;
  }
  return Wire::Receive{
      .into = *place,
      .keep = into,
      .done = [weak = weak_from_this(), lane, into, header](bool arrived) {
        if (const auto self = weak.lock())
          self->OnPlaced(lane, into, header, arrived);
      }};
}

void DataPlane::OnPlaced(const std::shared_ptr<Lane>& lane,
                         const std::shared_ptr<Incoming>& into,
                         const ChunkHeader& header, bool arrived) {
  if (lane->closed) return;
  if (into->dropped) {
    ++lane->counters->dropped_late;
    return;
  }
  const bool request = into->kind == ChunkKind::kRequest;
  if (!arrived || !into->assembly.Verify(header)) {
    ++lane->counters->dropped_checksum;
    into->dropped = true;
    if (lane->request == into) lane->request.reset();
    if (!request)
      Finish(header.exchange,
             Error{ErrorCode::kMalformed,
                   lane->node + ": its answer arrived damaged"});
    return;
  }
  if (!into->assembly.complete()) return;
  if (request) return OnRequestWhole(lane, into);
  ++lane->counters->answers_in;
  Finish(header.exchange, Message{.version = into->assembly.version(),
                                  .payload = into->assembly.payload()});
}

void DataPlane::OnRequestWhole(const std::shared_ptr<Lane>& lane,
                               const std::shared_ptr<Incoming>& request) {
  if (lane->request == request) lane->request.reset();
  ++lane->counters->requests_in;
  if (!events_.on_request) return;
  const auto answered = std::make_shared<bool>(false);
  events_.on_request(
      lane->node,
      Message{.version = request->assembly.version(),
              .payload = request->assembly.payload()},
      [weak = weak_from_this(), node = lane->node,
       to = std::weak_ptr<Lane>(lane), exchange = request->assembly.exchange(),
       expires = request->expires, answered](Message answer) {
        const auto self = weak.lock();
        if (!self || self->closed_ || std::exchange(*answered, true)) return;
        self->Answer(node, to, exchange, expires, std::move(answer));
      });
}

void DataPlane::Answer(const std::string& to, const std::weak_ptr<Lane>& weak,
                       std::uint64_t exchange, Clock::time_point expires,
                       Message answer) {
  CheckPayload(answer);
  const auto on_end = [self = weak_from_this(), weak,
                       to](const std::optional<Error>& error) {
    const auto plane = self.lock();
    if (!plane) return;
    if (error && plane->events_.on_answer_lost)
      plane->events_.on_answer_lost(to, *error);
    const auto lane = weak.lock();
    if (!error && lane) ++lane->counters->answers_out;
  };
  const auto lane = weak.lock();
  if (!lane || lane->closed)
    return on_end(Error{ErrorCode::kPeerGone, to + ": gone"});
  if (Clock::now() >= expires)
    return on_end(
        Error{ErrorCode::kTimeout, to + ": answer after its deadline"});
  auto outgoing = std::make_shared<Outgoing>();
  outgoing->kind = ChunkKind::kAnswer;
  outgoing->exchange = exchange;
  outgoing->message = std::move(answer);
  outgoing->expires = expires;
  outgoing->on_end = on_end;
  Send(lane, std::move(outgoing));
}

void DataPlane::Sweep() {
  sweeper_.expires_after(kSweep);
  sweeper_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!self || error || self->closed_) return;
    const auto now = Clock::now();
    bool again = false;
    for (const auto& [node, lane] : self->lanes_) {
      if (!lane->request) continue;
      again = again || lane->request->expires > now;
      if (lane->request->expires > now) continue;
      lane->request->dropped = true;
      lane->request.reset();
    }
    if (again) self->Sweep();
  });
}

void DataPlane::Stop() {
  closed_ = true;
  sweeper_.cancel();
  const Error error{ErrorCode::kClosed, "this node is leaving"};
  for (const auto& [node, lane] : lanes_) {
    lane->queue->Close(error);
    lane->request.reset();
  }
  while (!pending_.empty()) Finish(pending_.begin()->first, error);
}

void DataPlane::Shutdown(std::function<void()> done) {
  while (!lanes_.empty()) Close(lanes_.begin()->first, "this node is leaving");
  wire_->WhenIdle(kShutdownLimit,
                  [weak = weak_from_this(), done = std::move(done)] {
                    // What UCX has not let go of, its end takes from it.
                    if (const auto self = weak.lock()) self->wire_.reset();
                    done();
                  });
}

LinkCounters DataPlane::counters(const std::string& node) const {
  const auto found = counters_.find(node);
  return found == counters_.end() ? LinkCounters{} : found->second;
}

}  // namespace hearsay::transport
