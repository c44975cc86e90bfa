#include "transport/listener.h"

#include <sys/socket.h>

#include <chrono>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "transport/address.h"
#include "transport/socket_frame.h"

namespace hearsay::transport {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::milliseconds kPause{100};
// Sockets whose first byte has not come: how many, and how long.
constexpr std::size_t kMaxUnsorted = 64;
constexpr std::chrono::milliseconds kPatience{2000};

[[noreturn]] void Fail(const std::string& address, const error_code& error) {
  throw std::system_error(
      std::error_code(error.value(), std::generic_category()),
      "cannot listen on " + address);
}

tcp::endpoint Resolve(asio::io_context& io, const std::string& text,
                      const HostPort& address) {
  error_code error;
  tcp::resolver resolver(io);
  const auto found =
      resolver.resolve(address.host, std::to_string(address.port),
                       tcp::resolver::numeric_service, error);
  if (error || found.empty())
    throw std::system_error(
        std::make_error_code(std::errc::address_not_available),
        "cannot listen on " + text + ": " + error.message());
  return found.begin()->endpoint();
}

HostPort Parse(const std::string& text, const std::string& key) {
  auto address = ParseHostPort(text);
  if (!address)
    throw std::invalid_argument("cluster." + key + " '" + text +
                                "' is not HOST:PORT");
  return *address;
}

}  // namespace

Listener::Listener(asio::io_context& io, const std::string& listen,
                   const std::string& advertise)
    : acceptor_(io), pause_(io) {
  const HostPort wanted = Parse(listen, "listen");
  const tcp::endpoint endpoint = Resolve(io, listen, wanted);
  HostPort told = wanted;
  if (!advertise.empty()) {
    told = Parse(advertise, "advertise");
  } else if (endpoint.address().is_unspecified()) {
    throw std::invalid_argument(
        "cluster.listen is " + listen +
        ", which others cannot dial: set cluster.advertise to an address of "
        "this machine");
  }

  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (error) Fail(listen, error);
  // A restarted daemon must get its port back while old connections linger.
  acceptor_.set_option(tcp::acceptor::reuse_address(true));
  acceptor_.bind(endpoint, error);
  if (error) Fail(listen, error);
  acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) Fail(listen, error);

  const tcp::endpoint local = acceptor_.local_endpoint();
  bound_ = ToString({wanted.host, local.port()});
  if (told.port == 0) told.port = local.port();
  advertised_ = ToString(told);
  ip_ = local.address().to_string();
}

void Listener::Start(OnAccept on_control, OnAccept on_data) {
  on_control_ = std::move(on_control);
  on_data_ = std::move(on_data);
  AcceptNext();
}

void Listener::Close() {
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
  for (const auto& socket : unsorted_) socket->close(ignored);
}

void Listener::AcceptNext() {
  if (!acceptor_.is_open()) return;
  acceptor_.async_accept(
      [weak = weak_from_this()](const error_code& error, tcp::socket socket) {
        const auto self = weak.lock();
        if (!self || !self->acceptor_.is_open()) return;
        if (!error) {
          self->Sort(std::move(socket));
          return self->AcceptNext();
        }
        // Such as too many open files: later may be better.
        self->pause_.expires_after(kPause);
        self->pause_.async_wait([weak](const error_code& cancelled) {
          const auto again = weak.lock();
          if (again && !cancelled) again->AcceptNext();
        });
      });
}

void Listener::Sort(tcp::socket accepted) {
  const auto socket = std::make_shared<tcp::socket>(std::move(accepted));
  unsorted_.push_back(socket);
  error_code ignored;
  // Members speak at once, so the oldest is the least likely one.
  if (unsorted_.size() > kMaxUnsorted) unsorted_.front()->close(ignored);
  const auto patience =
      std::make_shared<asio::steady_timer>(acceptor_.get_executor(), kPatience);
  patience->async_wait([socket](const error_code& cancelled) {
    error_code closing;
    if (!cancelled) socket->close(closing);
  });
  socket->async_wait(
      tcp::socket::wait_read,
      [weak = weak_from_this(), socket, patience](const error_code& error) {
        patience->cancel();
        const auto self = weak.lock();
        if (!self) return;
        std::erase(self->unsorted_, socket);
        if (error || !self->acceptor_.is_open()) return;
        std::byte first{};
        if (recv(socket->native_handle(), &first, 1, MSG_PEEK) != 1) return;
        if (first != kSocketGreeting.front())
          return self->on_control_(std::move(*socket));
        if (self->on_data_) self->on_data_(std::move(*socket));
      });
}

}  // namespace hearsay::transport
