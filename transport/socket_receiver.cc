#include "transport/socket_receiver.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <utility>

namespace hearsay::transport {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// Of the socket's bytes before other work of the io_context gets its turn.
constexpr std::size_t kTurnBytes = std::size_t{4} << 20;
// For a payload to make no progress at all.
constexpr std::chrono::seconds kStall{5};

struct SocketOption {
  int level;
  int name;
  int value;
};
// A peer whose goodbye was lost with the network would leave its socket here
// for ever, one more after every cut. An idle one is asked after 5 s, and gone
// if it has not answered three times, 2 s apart.
constexpr std::array<SocketOption, 4> kAskWhetherThere = {{
    {SOL_SOCKET, SO_KEEPALIVE, 1},
    {IPPROTO_TCP, TCP_KEEPIDLE, 5},
    {IPPROTO_TCP, TCP_KEEPINTVL, 2},
    {IPPROTO_TCP, TCP_KEEPCNT, 3},
}};

}  // namespace

std::shared_ptr<SocketReceiver> SocketReceiver::Make(
    asio::ip::tcp::socket socket, Wire::OnMessage on_message,
    std::function<void()> on_end, std::chrono::milliseconds stranger_limit) {
  std::shared_ptr<SocketReceiver> receiver(new SocketReceiver(
      std::move(socket), std::move(on_message), std::move(on_end)));
  receiver->patience_.expires_after(stranger_limit);
  return receiver;
}

SocketReceiver::SocketReceiver(asio::ip::tcp::socket socket,
                               Wire::OnMessage on_message,
                               std::function<void()> on_end)
    : socket_(std::move(socket)),
      patience_(socket_.get_executor()),
      parser_(std::move(on_message)),
      on_end_(std::move(on_end)) {}

void SocketReceiver::Start() {
  error_code error;
  socket_.non_blocking(true, error);
  for (const auto& option : kAskWhetherThere)
    setsockopt(socket_.native_handle(), option.level, option.name,
               &option.value, sizeof(option.value));
  patience_.async_wait([weak = weak_from_this()](const error_code& cancelled) {
    const auto self = weak.lock();
    if (self && !cancelled && self->stranger()) self->End();
  });
  Await();
}

void SocketReceiver::Await() {
  socket_.async_wait(asio::ip::tcp::socket::wait_read,
                     [weak = weak_from_this()](const error_code& error) {
                       const auto self = weak.lock();
                       if (!self || self->closed_) return;
                       if (error) return self->End();
                       self->ReadTurn();
                       if (!self->closed_) self->Await();
                     });
}

// A turn ends with the message that is whole: what was answered meanwhile is
// let go of by handlers that wait for theirs, and a peer that asks on and on
// would find this node without memory for it.
void SocketReceiver::ReadTurn() {
  const auto self = shared_from_this();
  const std::size_t before = received_;
  while (!closed_ && received_ - before < kTurnBytes)
    if (!ReadOnce() || !receiving()) break;
}

bool SocketReceiver::ReadOnce() {
  std::array<iovec, 2> parts{};
  std::size_t count = 0;
  for (const auto place : parser_.Places())
    if (!place.empty())
      parts[count++] = {.iov_base = place.data(), .iov_len = place.size()};
  const ssize_t bytes =
      readv(socket_.native_handle(), parts.data(), static_cast<int>(count));
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (bytes <= 0) {
    End();
    return false;
  }
  received_ += static_cast<std::size_t>(bytes);
  const bool was_stranger = stranger();
  const bool good = parser_.Consume(static_cast<std::size_t>(bytes));
  if (closed_) return false;
  if (!good) {
    End();
    return false;
  }
  if (was_stranger && !stranger()) patience_.cancel();
  if (receiving() && !std::exchange(watching_, true)) WatchProgress();
  return true;
}

void SocketReceiver::WatchProgress() {
  patience_.expires_after(kStall);
  patience_.async_wait([weak = weak_from_this(),
                        before = received_](const error_code& cancelled) {
    const auto self = weak.lock();
    if (!self || cancelled || self->closed_) return;
    if (self->receiving() && self->received_ == before) return self->End();
    self->watching_ = self->receiving();
    if (self->watching_) self->WatchProgress();
  });
}

void SocketReceiver::Close() {
  if (std::exchange(closed_, true)) return;
  error_code ignored;
  socket_.close(ignored);
  patience_.cancel();
  on_end_ = nullptr;
  parser_.Abandon();
}

void SocketReceiver::End() {
  const auto self = shared_from_this();
  const auto on_end = std::exchange(on_end_, nullptr);
  Close();
  if (on_end) on_end();
}

}  // namespace hearsay::transport
