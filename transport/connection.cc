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

}  // namespace

std::shared_ptr<Connection> Connection::Make(asio::ip::tcp::socket socket,
                                             Events events) {
  return std::shared_ptr<Connection>(
      new Connection(std::move(socket), std::move(events)));
}

Connection::Connection(asio::ip::tcp::socket socket, Events events)
    : socket_(std::move(socket)),
      finish_timer_(socket_.get_executor()),
      events_(std::make_shared<const Events>(std::move(events))) {
  error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

void Connection::Start() { Read(); }

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
  std::span<const std::byte> rest(input_.data(), bytes);
  while (!rest.empty() && !finishing_) {
    rest = rest.subspan(decoder_.Feed(rest));
    if (decoder_.malformed())
      return End("it sent something that is no control frame");
    const auto frame = decoder_.Next();
    if (!frame) continue;
    const auto events = events_;
    if (events && events->on_frame) events->on_frame(*frame);
    if (!socket_.is_open()) return;
  }
  Read();
}

bool Connection::Send(std::string_view body) {
  if (!socket_.is_open() || finishing_ || output_.size() >= kMaxQueued)
    return false;
  output_.push_back(EncodeFrame(body));
  if (!writing_) Write();
  return true;
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
  Close();
  if (events && events->on_end) events->on_end(reason);
}

void Connection::Close() {
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
  // The reading goes on until the peer has closed too, or this runs out.
  finish_timer_.expires_after(kFinishLimit);
  finish_timer_.async_wait(
      [self = shared_from_this()](const error_code& error) {
        if (!error) self->Close();
      });
  error_code ignored;
  if (!writing_)
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

}  // namespace hearsay::transport
