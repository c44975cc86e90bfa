#include "transport/connection.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <span>
#include <utility>

namespace hearsay::transport {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t kMaxQueued = 8;  // frames
constexpr std::chrono::milliseconds kFinishLimit{500};
// First bytes of TLS records; a frame begins with the 0 of its length.
constexpr std::byte kTlsAlert{21};
constexpr std::byte kTlsHandshake{22};

}  // namespace

std::shared_ptr<Connection> Connection::Make(
    asio::ip::tcp::socket socket, std::unique_ptr<tls::Channel> channel,
    Events events) {
  return std::shared_ptr<Connection>(
      new Connection(std::move(socket), std::move(channel), std::move(events)));
}

Connection::Connection(asio::ip::tcp::socket socket,
                       std::unique_ptr<tls::Channel> channel, Events events)
    : socket_(std::move(socket)),
      channel_(std::move(channel)),
      finish_timer_(socket_.get_executor()),
      events_(std::make_shared<const Events>(std::move(events))) {
  error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  const auto remote = socket_.remote_endpoint(ignored);
  if (!ignored) remote_ip_ = remote.address().to_string();
}

void Connection::Start() {
  if (channel_) {
    OnCipher({});
  } else if (events_->on_ready) {
    const auto events = events_;
    events->on_ready();
  }
  if (socket_.is_open()) Read();
}

void Connection::Read() {
  socket_.async_read_some(
      asio::buffer(input_),
      [self = shared_from_this()](const error_code& error, std::size_t bytes) {
        self->OnRead(error, bytes);
      });
}

void Connection::OnRead(const error_code& error, std::size_t bytes) {
  if (!socket_.is_open()) return;
  if (error)
    return End(error == asio::error::eof ? "it closed the connection"
                                         : error.message());
  const std::span<const std::byte> read(input_.data(), bytes);
  if (!finishing_) Take(read);
  if (socket_.is_open()) Read();
}

void Connection::Take(std::span<const std::byte> bytes) {
  if (channel_) return OnCipher(bytes);
  if (IsOpenPeer(bytes)) return OnPlain(bytes);
  EndAfterLastWords("it speaks TLS, which is off here (tls.mode)");
}

void Connection::OnCipher(std::span<const std::byte> bytes) {
  const bool was_ready = channel_->established();
  std::string plain;
  const bool goes_on = channel_->Advance(bytes, plain);
  if (!Flush()) return;
  const auto events = events_;
  if (channel_->established() && !was_ready && events && events->on_ready)
    events->on_ready();
  OnPlain(std::as_bytes(std::span(plain)));
  if (!goes_on && socket_.is_open() && !finishing_)
    EndAfterLastWords(channel_->error());
}

// In the clear, as this end. What a peer that speaks TLS gets for an answer is
// a frame: no TLS begins with its first byte.
bool Connection::IsOpenPeer(std::span<const std::byte> bytes) {
  if (std::exchange(heard_, true)) return true;
  if (bytes.front() != kTlsHandshake && bytes.front() != kTlsAlert) return true;
  refused_ = true;
  Push(EncodeFrame("?"));
  return false;
}

void Connection::OnPlain(std::span<const std::byte> bytes) {
  while (!bytes.empty() && !finishing_ && socket_.is_open()) {
    bytes = bytes.subspan(decoder_.Feed(bytes));
    if (decoder_.malformed())
      return End("it sent something that is no control frame");
    const auto frame = decoder_.Next();
    if (!frame) continue;
    const auto events = events_;
    if (events && events->on_frame) events->on_frame(*frame);
  }
}

bool Connection::Send(std::string_view body) {
  if (!socket_.is_open() || finishing_ || output_.size() >= kMaxQueued)
    return false;
  if (!channel_) {
    Push(EncodeFrame(body));
    return true;
  }
  if (!channel_->established()) return false;
  channel_->Write(EncodeFrame(body));
  return Flush();
}

// What TLS has to say, of its own too: a peer could ask it for answers without
// end, and read none.
bool Connection::Flush() {
  auto bytes = channel_->TakeOutput();
  if (bytes.empty()) return true;
  if (output_.size() >= 2 * kMaxQueued) {
    End("it does not read what it asks for");
    return false;
  }
  Push(std::move(bytes));
  return true;
}

void Connection::Push(std::string bytes) {
  output_.push_back(std::move(bytes));
  if (!writing_) Write();
}

void Connection::Write() {
  writing_ = true;
  asio::async_write(
      socket_, asio::buffer(output_.front()),
      [self = shared_from_this()](const error_code& error, std::size_t) {
        self->writing_ = false;
        if (!self->socket_.is_open()) return;
        if (error) return self->End(error.message());
        self->output_.pop_front();
        if (!self->output_.empty()) return self->Write();
        error_code ignored;
        if (self->finishing_)
          self->socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
      });
}

void Connection::End(const std::string& reason) {
  const auto events = finishing_ ? nullptr : events_;
  Shut();
  if (events && events->on_end) events->on_end(reason);
}

// What is queued says why, so that the other end knows too.
void Connection::EndAfterLastWords(const std::string& reason) {
  const auto events = events_;
  Finish();
  if (events && events->on_end) events->on_end(reason);
}

void Connection::Close() {
  if (!finishing_) Shut();
}

void Connection::Shut() {
  error_code ignored;
  socket_.close(ignored);
  finish_timer_.cancel();
  events_.reset();
  until_closed_.reset();
}

void Connection::Finish(std::shared_ptr<void> until_closed) {
  if (!socket_.is_open() || finishing_) return;
  until_closed_ = std::move(until_closed);
  finishing_ = true;
  events_.reset();
  if (channel_) {
    channel_->Close();
    if (!Flush()) return;
  }
  // The reading goes on until the peer has closed too, or this runs out.
  finish_timer_.expires_after(kFinishLimit);
  finish_timer_.async_wait(
      [self = shared_from_this()](const error_code& error) {
        if (!error) self->Shut();
      });
  error_code ignored;
  if (!writing_)
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

}  // namespace hearsay::transport
