#include "transport/socket_receiver.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "transport/socket_frame.h"

namespace hearsay::transport {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// Of the socket's bytes before other work of the io_context gets its turn.
constexpr std::size_t kTurnBytes = std::size_t{4} << 20;
// Messages of a stranger without any that is wanted. The first few may be a
// member's whose session is known here a moment later than there.
constexpr std::size_t kMaxUnwanted = 64;
// Unwanted payloads are read into this much, over and over.
constexpr std::size_t kNowhereBytes = std::size_t{64} << 10;

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
      on_message_(std::move(on_message)),
      on_end_(std::move(on_end)) {}

void SocketReceiver::Start() {
  error_code error;
  socket_.non_blocking(true, error);
  patience_.async_wait([weak = weak_from_this()](const error_code& cancelled) {
    const auto self = weak.lock();
    if (self && !cancelled && self->stranger_) self->End();
  });
  Await();
}

void SocketReceiver::Await() {
  socket_.async_wait(asio::ip::tcp::socket::wait_read,
                     [weak = weak_from_this()](const error_code& error) {
                       const auto self = weak.lock();
                       if (!self || self->closed_) return;
                       if (error) return self->End();
                       self->Poll();
                       if (!self->closed_) self->Await();
                     });
}

bool SocketReceiver::Poll() {
  const auto self = shared_from_this();
  const std::size_t before = received_;
  while (!closed_ && received_ - before < kTurnBytes)
    if (!ReadOnce()) break;
  return received_ != before;
}

bool SocketReceiver::ReadOnce() {
  // The payload goes to its place; what follows it comes along.
  std::array<iovec, 2> parts{};
  std::size_t count = 0;
  if (missing_ > 0) {
    if (receive_) {
      const auto place = receive_->into.last(missing_);
      parts[count++] = {.iov_base = place.data(), .iov_len = place.size()};
    } else {
      nowhere_.resize(kNowhereBytes);
      parts[count++] = {.iov_base = nowhere_.data(),
                        .iov_len = std::min(missing_, nowhere_.size())};
    }
  }
  if (missing_ == 0 || receive_)
    parts[count++] = {.iov_base = inbox_.data() + end_,
                      .iov_len = inbox_.size() - end_};
  const ssize_t bytes =
      readv(socket_.native_handle(), parts.data(), static_cast<int>(count));
  if (bytes > 0) return Consume(static_cast<std::size_t>(bytes));
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  End();
  return false;
}

bool SocketReceiver::Consume(std::size_t bytes) {
  received_ += bytes;
  const std::size_t payload = std::min(bytes, missing_);
  missing_ -= payload;
  end_ += bytes - payload;
  if (payload > 0 && missing_ == 0) Delivered();
  return !closed_ && Parse();
}

bool SocketReceiver::Parse() {
  const auto rest = [this] {
    return std::span<const std::byte>(inbox_).subspan(begin_, end_ - begin_);
  };
  if (!greeted_) {
    if (rest().size() < kSocketGreeting.size()) return true;
    greeted_ = std::equal(kSocketGreeting.begin(), kSocketGreeting.end(),
                          rest().begin());
    if (!greeted_) {
      End();
      return false;
    }
    begin_ += kSocketGreeting.size();
  }
  while (missing_ == 0 && rest().size() >= kSocketPrefixBytes) {
    const auto prefix = DecodePrefix(rest().first(kSocketPrefixBytes));
    if (!prefix) {
      End();
      return false;
    }
    const std::size_t head = kSocketPrefixBytes + prefix->header_bytes;
    if (rest().size() < head) break;
    Begin(rest().subspan(kSocketPrefixBytes, prefix->header_bytes),
          prefix->payload_bytes);
    if (closed_) return false;
    begin_ += head;
    TakeFromInbox();
    if (closed_) return false;
  }
  std::memmove(inbox_.data(), inbox_.data() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  return true;
}

void SocketReceiver::Begin(std::span<const std::byte> header,
                           std::size_t payload_bytes) {
  receive_ = on_message_(header, payload_bytes);
  if (closed_) return;
  if (!receive_ && stranger_ && ++unwanted_ > kMaxUnwanted) return End();
  if (receive_ && std::exchange(stranger_, false)) patience_.cancel();
  missing_ = payload_bytes;
  if (missing_ == 0) Delivered();
}

void SocketReceiver::TakeFromInbox() {
  if (missing_ == 0) return;
  const std::size_t bytes = std::min(missing_, end_ - begin_);
  if (receive_ && bytes > 0)
    std::memcpy(receive_->into.last(missing_).data(), inbox_.data() + begin_,
                bytes);
  begin_ += bytes;
  missing_ -= bytes;
  if (missing_ == 0) Delivered();
}

void SocketReceiver::Delivered() {
  const auto receive = std::exchange(receive_, std::nullopt);
  if (receive && receive->done) receive->done(true);
}

void SocketReceiver::Close() {
  if (std::exchange(closed_, true)) return;
  error_code ignored;
  socket_.close(ignored);
  patience_.cancel();
  on_end_ = nullptr;
  const auto receive = std::exchange(receive_, std::nullopt);
  if (receive && receive->done) receive->done(false);
}

void SocketReceiver::End() {
  const auto self = shared_from_this();
  const auto on_end = std::exchange(on_end_, nullptr);
  Close();
  if (on_end) on_end();
}

}  // namespace hearsay::transport
