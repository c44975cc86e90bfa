#include "transport/socket_sender.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <cassert>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

namespace hearsay::transport {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kMaxParts = 16;  // of one write

void TakeFront(std::span<const std::byte>& left, std::size_t& bytes) {
  const std::size_t taken = std::min(bytes, left.size());
  left = left.subspan(taken);
  bytes -= taken;
}

// Within a host there is nothing to probe for and to pace: a congestion control
// that does (BBR, where it is the system's choice) took two to three times as
// long there, measured. Only a wish: Reno is what every kernel has and allows.
void DoNotPaceWithinTheHost(tcp::socket& socket) {
  error_code error;
  if (!socket.remote_endpoint(error).address().is_loopback()) return;
  constexpr std::string_view kReno = "reno";
  static_cast<void>(setsockopt(socket.native_handle(), IPPROTO_TCP,
                               TCP_CONGESTION, kReno.data(), kReno.size()));
}

}  // namespace

std::shared_ptr<SocketSender> SocketSender::Make(
    asio::io_context& io, const HostPort& address,
    std::function<void(std::string)> on_broken) {
  return std::shared_ptr<SocketSender>(
      new SocketSender(io, address, std::move(on_broken)));
}

SocketSender::SocketSender(asio::io_context& io, HostPort address,
                           std::function<void(std::string)> on_broken)
    : io_(io),
      address_(std::move(address)),
      resolver_(io),
      socket_(io),
      on_broken_(std::move(on_broken)) {}

void SocketSender::Dial() {
  state_ = State::kDialling;
  error_code not_numeric;
  const auto ip = asio::ip::make_address(address_.host, not_numeric);
  if (!not_numeric)
    return Connect(tcp::resolver::results_type::create(
        tcp::endpoint(ip, address_.port), address_.host, ""));
  resolver_.async_resolve(
      address_.host, std::to_string(address_.port),
      tcp::resolver::numeric_service,
      [self = shared_from_this()](const error_code& error,
                                  const tcp::resolver::results_type& found) {
        if (self->state_ != State::kDialling) return;
        if (error) return self->Lose(error.message());
        self->Connect(found);
      });
}

void SocketSender::Connect(const tcp::resolver::results_type& found) {
  asio::async_connect(socket_, found,
                      [self = shared_from_this()](const error_code& error,
                                                  const tcp::endpoint&) {
                        if (self->state_ != State::kDialling) return;
                        if (error) return self->Lose(error.message());
                        self->OnConnected();
                      });
}

void SocketSender::OnConnected() {
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  DoNotPaceWithinTheHost(socket_);
  socket_.non_blocking(true, ignored);
  state_ = State::kConnected;
  greeting_left_ = kSocketGreeting;
  WatchEnd();
  Write();
}

void SocketSender::WatchEnd() {
  socket_.async_wait(tcp::socket::wait_read, [weak = weak_from_this()](
                                                 const error_code& error) {
    const auto self = weak.lock();
    if (!self || self->state_ != State::kConnected) return;
    self->Lose(error ? error.message() : "it closed the connection");
  });
}

void SocketSender::Send(std::span<const std::byte> header,
                        std::span<const std::byte> payload,
                        std::shared_ptr<void> keep,
                        std::function<void(bool)> done) {
  assert(header.size() <= kMaxWireHeaderBytes);
  auto operation = std::make_unique<Operation>();
  const auto prefix = EncodePrefix(
      {.header_bytes = static_cast<std::uint32_t>(header.size()),
       .payload_bytes = static_cast<std::uint32_t>(payload.size())});
  auto* end = std::copy(prefix.begin(), prefix.end(), operation->head.data());
  end = std::copy(header.begin(), header.end(), end);
  operation->head_left = {operation->head.data(), end};
  operation->payload_left = payload;
  operation->keep = std::move(keep);
  operation->done = std::move(done);
  if (state_ == State::kClosed) return FinishSoon(std::move(operation), false);
  queue_.push_back(std::move(operation));
  if (state_ == State::kIdle) Dial();
  if (state_ == State::kConnected && !waiting_) Write();
}

void SocketSender::Write() {
  while (state_ == State::kConnected && !queue_.empty()) {
    std::array<iovec, kMaxParts> parts{};
    std::size_t count = 0;
    const auto add = [&](std::span<const std::byte> bytes) {
      if (bytes.empty()) return;
      // iovec is for reading too; sendmsg only reads.
      parts[count++] = {.iov_base = const_cast<std::byte*>(bytes.data()),
                        .iov_len = bytes.size()};
    };
    add(greeting_left_);
    for (const auto& operation : queue_) {
      if (count + 2 > kMaxParts) break;
      add(operation->head_left);
      add(operation->payload_left);
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t bytes =
        sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (bytes >= 0) {
      Advance(static_cast<std::size_t>(bytes));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Lose(std::generic_category().message(errno));
    if (std::exchange(waiting_, true)) return;
    return socket_.async_wait(
        tcp::socket::wait_write,
        [weak = weak_from_this()](const error_code& error) {
          const auto self = weak.lock();
          if (!self) return;
          self->waiting_ = false;
          if (!error) self->Write();
        });
  }
}

void SocketSender::Advance(std::size_t bytes) {
  TakeFront(greeting_left_, bytes);
  while (!queue_.empty()) {
    Operation& first = *queue_.front();
    TakeFront(first.head_left, bytes);
    TakeFront(first.payload_left, bytes);
    if (!first.head_left.empty() || !first.payload_left.empty()) return;
    auto operation = std::move(queue_.front());
    queue_.pop_front();
    FinishSoon(std::move(operation), true);
  }
}

void SocketSender::FinishSoon(std::unique_ptr<Operation> operation, bool ok) {
  operation->ok = ok;
  finished_.push_back(std::move(operation));
  if (finished_.size() > 1) return;
  asio::post(io_, [self = shared_from_this()] { self->RunFinished(); });
}

void SocketSender::RunFinished() {
  auto now = std::exchange(finished_, {});
  for (auto& operation : now) {
    const auto done = std::move(operation->done);
    const bool ok = operation->ok;
    operation.reset();  // Gives the buffer back before the next one runs.
    if (done) done(ok);
  }
}

void SocketSender::Shut() {
  state_ = State::kClosed;
  resolver_.cancel();
  error_code ignored;
  socket_.close(ignored);
  for (auto& operation : std::exchange(queue_, {}))
    FinishSoon(std::move(operation), false);
}

void SocketSender::Close() {
  on_broken_ = nullptr;
  if (state_ != State::kClosed) Shut();
}

void SocketSender::Lose(const std::string& reason) {
  if (queue_.empty()) {
    state_ = State::kIdle;
    socket_ = tcp::socket(io_);
    return;
  }
  Shut();
  if (const auto on_broken = std::exchange(on_broken_, nullptr))
    on_broken(reason);
}

}  // namespace hearsay::transport
