#include "transport/data_plane.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <limits>
#include <random>
#include <stdexcept>
#include <utility>

namespace hearsay::transport {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr Milliseconds kSweep{100};
// Members that are gone are counted until there are this many.
constexpr std::size_t kMaxCounted = 1024;
constexpr Milliseconds kShutdownLimit{1000};

// A header that is whole, yet more or less follows it than it says.
bool HasWrongLength(std::span<const std::byte> bytes, std::size_t received) {
  const auto header = DecodeChunk(bytes);
  return header && header->length != received;
}

}  // namespace

DataPlane::DataPlane(asio::io_context& io, const Options& options,
                     const MakeWire& make_wire,
                     std::shared_ptr<BufferPool> pool, Events events,
                     const SessionLimits& limits)
    : io_(io),
      options_(options),
      limits_(limits),
      pool_(std::move(pool)),
      staging_(BufferPool::Make(options.chunk_bytes,
                                std::numeric_limits<std::size_t>::max())),
      events_(std::move(events)),
      sweeper_(io),
      wire_(make_wire(
          [this](std::span<const std::byte> header, std::size_t received) {
            auto receive = OnChunk(header, received);
            if (!receive && HasWrongLength(header, received))
              receive.emplace().nonsense = true;
            return receive;
          })) {}

DataPlane::~DataPlane() { closed_ = true; }

void DataPlane::Adopt(asio::ip::tcp::socket socket) {
  if (wire_) wire_->Adopt(std::move(socket));
}

std::shared_ptr<Lane> DataPlane::Connect(const std::string& node,
                                         const LaneTerms& terms) {
  const auto lane = std::make_shared<Lane>();
  const auto endpoint =
      wire_->Connect(terms.grant.worker_address,
                     [weak = weak_from_this(), weak_lane = std::weak_ptr(lane)](
                         const std::string& reason) {
                       const auto self = weak.lock();
                       const auto broken = weak_lane.lock();
                       if (!self || !broken || broken->closed) return;
                       broken->broken = true;
                       if (self->events_.on_broken)
                         self->events_.on_broken(broken->node, reason);
                     });
  if (!endpoint) return nullptr;
  lane->node = node;
  lane->worker_address = terms.grant.worker_address;
  lane->endpoint = *endpoint;
  lane->counters = &CountersOf(node);
  lane->queue =
      std::make_shared<SendQueue>(*wire_, *endpoint, staging_, *lane->counters);
  lanes_[node] = lane;
  return lane;
}

LinkCounters& DataPlane::CountersOf(const std::string& node) {
  if (counters_.size() >= kMaxCounted)
    std::erase_if(counters_, [&](const auto& entry) {
      return entry.first != "" && !lanes_.contains(entry.first);
    });
  return counters_[node];
}

void DataPlane::Close(const std::string& node, const std::string& reason) {
  const Error error{ErrorCode::kPeerGone, node + ": " + reason};
  const auto found = lanes_.find(node);
  if (found == lanes_.end()) return;
  const auto lane = found->second;
  lane->closed = true;
  lanes_.erase(found);
  while (!lane->sessions.empty()) Retire(*lane, lane->sessions.back());
  if (wire_) wire_->Close(lane->endpoint);
  if (lane->request) Drop(lane, std::exchange(lane->request, nullptr));
  lane->queue->Close(error);
  std::vector<std::uint64_t> lost;
  for (const auto& [exchange, pending] : pending_)
    if (pending->lane == lane) lost.push_back(exchange);
  for (const auto exchange : lost) Finish(exchange, error);
  // Not `node`: it may have been the key of what is erased.
  if (events_.on_closed) events_.on_closed(lane->node, reason);
}

void DataPlane::CheckPayload(const Message& message) const {
  if (message.payload && message.payload->size() != options_.array_bytes)
    throw std::invalid_argument(
        "transport: payload of " + std::to_string(message.payload->size()) +
        " bytes where arrays have " + std::to_string(options_.array_bytes));
}

void DataPlane::Exchange(const std::string& to, Message request,
                         Milliseconds deadline, Done done,
                         OnAnswerBegin on_answer) {
  CheckPayload(request);
  deadline = std::clamp(deadline, Milliseconds(0), kMaxExchange);
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
  pending->on_answer = std::move(on_answer);
  const auto expires = Clock::now() + deadline;
  pending->timer.expires_at(expires);
  pending->timer.async_wait(
      [weak = weak_from_this(), exchange, to](const error_code& cancelled) {
        const auto self = weak.lock();
        if (!self || cancelled || !self->pending_.contains(exchange)) return;
        ++self->counters_[to].timeouts;
        self->Finish(exchange,
                     Error{ErrorCode::kTimeout, to + ": no answer in time"});
      });
  ++lane->counters->requests_out;
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
  if (pending->answer) pending->answer->Drop();
  if (const auto request = pending->request.lock())
    pending->lane->queue->Cancel(*request);
  if (pending->done) pending->done(std::move(result));
}

void DataPlane::SendPiece(const std::string& to, const RoundPiece& piece,
                          std::span<const std::byte> bytes,
                          std::shared_ptr<void> keep,
                          std::function<void(bool)> done) {
  if (bytes.size() > options_.chunk_bytes)
    throw std::invalid_argument("transport: piece of " +
                                std::to_string(bytes.size()) +
                                " bytes where pieces have at most " +
                                std::to_string(options_.chunk_bytes));
  const auto found = lanes_.find(to);
  auto later = [&io = io_, done = std::move(done)](bool sent) {
    if (sent) return done(true);
    asio::post(io, [done] { done(false); });
  };
  if (closed_ || found == lanes_.end()) return later(false);
  found->second->queue->PushPiece(piece, bytes, std::move(keep),
                                  std::move(later));
}

void DataPlane::AfterDelay(std::function<void()> call) {
  if (options_.added_delay.count() <= 0) return call();
  const auto timer =
      std::make_shared<asio::steady_timer>(io_, options_.added_delay);
  timer->async_wait([weak = weak_from_this(), timer,
                     call = std::move(call)](const error_code& error) {
    const auto self = weak.lock();
    if (self && !error && !self->closed_) call();
  });
}

void DataPlane::Send(const std::shared_ptr<Lane>& lane,
                     std::shared_ptr<Outgoing> message) {
  if (std::bernoulli_distribution(options_.added_loss)(chance_)) return;
  AfterDelay([queue = lane->queue, message = std::move(message)] {
    queue->Push(message);
  });
  Sweep();
}

void DataPlane::AnswerAhead(const std::weak_ptr<Lane>& weak,
                            const std::shared_ptr<Reply>& reply,
                            Message answer) {
  CheckPayload(answer);
  const auto lane = weak.lock();
  if (closed_ || reply->closed || reply->ahead || !lane || lane->closed) return;
  reply->ahead = MakeAnswer(lane, *reply, std::move(answer));
  reply->ahead->held = true;
  Send(lane, reply->ahead);
}

void DataPlane::Answer(const std::string& to, const std::weak_ptr<Lane>& weak,
                       const std::shared_ptr<Reply>& reply, Message answer) {
  CheckPayload(answer);
  if (closed_ || reply->closed) return;
  // It is over already if there was no room for it: then it begins now.
  const bool begun = reply->ahead && reply->ahead->on_end;
  if (begun && reply->ahead->message.payload &&
      reply->ahead->message.payload != answer.payload)
    throw std::invalid_argument(
        "transport: another payload than was given ahead");
  reply->closed = true;
  const auto lane = weak.lock();
  std::optional<Error> lost;
  if (!lane || lane->closed)
    lost = Error{ErrorCode::kPeerGone, to + ": gone"};
  else if (Clock::now() >= reply->expires)
    lost = Error{ErrorCode::kTimeout, to + ": answer after its deadline"};
  const auto ahead = std::exchange(reply->ahead, nullptr);
  if (lost) {
    if (events_.on_answer_lost) events_.on_answer_lost(to, *lost);
  } else if (begun) {
    AfterDelay([queue = lane->queue, ahead] { queue->Release(*ahead); });
  } else {
    Send(lane, MakeAnswer(lane, *reply, std::move(answer)));
  }
}

std::shared_ptr<Outgoing> DataPlane::MakeAnswer(
    const std::shared_ptr<Lane>& lane, const Reply& reply, Message answer) {
  auto outgoing = std::make_shared<Outgoing>();
  outgoing->kind = ChunkKind::kAnswer;
  outgoing->exchange = reply.exchange;
  outgoing->message = std::move(answer);
  outgoing->expires = reply.expires;
  outgoing->on_end = [weak = weak_from_this(), weak_lane = std::weak_ptr(lane),
                      to = lane->node](const std::optional<Error>& error) {
    const auto self = weak.lock();
    if (!self) return;
    if (error && self->events_.on_answer_lost)
      self->events_.on_answer_lost(to, *error);
    const auto to_lane = weak_lane.lock();
    if (!error && to_lane) ++to_lane->counters->answers_out;
  };
  return outgoing;
}

void DataPlane::Sweep() {
  if (std::exchange(sweeping_, true)) return;
  sweeper_.expires_after(kSweep);
  sweeper_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!self || error || self->closed_) return;
    self->sweeping_ = false;
    bool again = false;
    for (const auto& [node, lane] : std::map(self->lanes_))
      again = self->SweepLane(lane, Clock::now()) || again;
    if (again) self->Sweep();
  });
}

// True if there is more to come.
bool DataPlane::SweepLane(const std::shared_ptr<Lane>& lane,
                          Clock::time_point now) {
  bool old_keys = false;
  for (const auto& session : std::vector(lane->sessions)) {
    if (now >= session->expires)
      Retire(*lane, session);
    else if (session->opener)
      old_keys = session->opener->Expire(now) || old_keys;
  }
  if (lane->request && now >= lane->request->reply->expires)
    Drop(lane, std::exchange(lane->request, nullptr));
  lane->queue->Pump();
  return old_keys || lane->sessions.size() > 1 || lane->request ||
         !lane->queue->idle();
}

void DataPlane::Drop(const std::shared_ptr<Lane>& lane,
                     const std::shared_ptr<Incoming>& request) {
  request->Drop();
  request->reply->closed = true;
  if (const auto ahead = std::exchange(request->reply->ahead, nullptr))
    lane->queue->Cancel(*ahead);
}

void DataPlane::Stop() {
  closed_ = true;
  sweeper_.cancel();
  const Error error{ErrorCode::kClosed, "this node is leaving"};
  for (const auto& [node, lane] : lanes_) {
    if (lane->request) Drop(lane, std::exchange(lane->request, nullptr));
    lane->queue->Close(error);
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
