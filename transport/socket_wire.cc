#include "transport/socket_wire.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

namespace hearsay::transport {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kStrangerLimit{5000};
constexpr std::size_t kMaxStrangers = 64;
constexpr milliseconds kIdlePoll{5};

}  // namespace

SocketWire::SocketWire(boost::asio::io_context& io,
                       const std::string& advertised, OnMessage on_message)
    : io_(io), advertised_(advertised), on_message_(std::move(on_message)) {}

SocketWire::~SocketWire() {
  for (const auto& [id, sender] : senders_) sender->Close();
  for (const auto& receiver : std::exchange(receivers_, {})) receiver->Close();
}

void SocketWire::Adopt(boost::asio::ip::tcp::socket socket) {
  DropOldestStranger();
  const auto slot = std::make_shared<std::weak_ptr<SocketReceiver>>();
  const auto receiver = SocketReceiver::Make(
      std::move(socket), on_message_,
      [this, slot] { receivers_.erase(slot->lock()); }, kStrangerLimit);
  *slot = receiver;
  receivers_.insert(receiver);
  strangers_.push_back(receiver);
  receiver->Start();
}

// Members say at once what they want, so the oldest is the least likely one.
void SocketWire::DropOldestStranger() {
  std::erase_if(strangers_, [](const auto& weak) {
    const auto receiver = weak.lock();
    return !receiver || !receiver->stranger();
  });
  if (strangers_.size() < kMaxStrangers) return;
  const auto oldest = strangers_.front().lock();
  strangers_.pop_front();
  receivers_.erase(oldest);
  oldest->Close();
}

std::string SocketWire::address() const { return advertised_; }

std::optional<Wire::EndpointId> SocketWire::Connect(
    const std::string& peer_address,
    std::function<void(std::string)> on_broken) {
  const auto address = ParseHostPort(peer_address);
  if (!address || address->port == 0) return std::nullopt;
  const EndpointId id = next_endpoint_++;
  senders_.emplace(id, SocketSender::Make(io_, *address, std::move(on_broken)));
  return id;
}

void SocketWire::Close(EndpointId endpoint) {
  const auto found = senders_.find(endpoint);
  if (found == senders_.end()) return;
  const auto sender = std::move(found->second);
  senders_.erase(found);
  sender->Close();
  std::erase_if(closing_, [](const auto& weak) { return weak.expired(); });
  closing_.push_back(sender);
}

std::string SocketWire::lane(EndpointId endpoint) const {
  return senders_.contains(endpoint) ? "socket" : "";
}

void SocketWire::Send(EndpointId endpoint, std::span<const std::byte> header,
                      std::span<const std::byte> payload,
                      std::shared_ptr<void> keep,
                      std::function<void(bool)> done) {
  const auto found = senders_.find(endpoint);
  if (found != senders_.end())
    return found->second->Send(header, payload, std::move(keep),
                               std::move(done));
  boost::asio::post(io_, [done = std::move(done)] { done(false); });
}

std::size_t SocketWire::in_flight() const {
  std::size_t operations = 0;
  for (const auto& [id, sender] : senders_) operations += sender->in_flight();
  for (const auto& weak : closing_)
    if (const auto sender = weak.lock()) operations += sender->in_flight();
  for (const auto& receiver : receivers_)
    if (receiver->receiving()) ++operations;
  return operations;
}

void SocketWire::WhenIdle(milliseconds limit, std::function<void()> done) {
  // Nothing outlives its socket, so this is a moment; no need for events.
  const auto timer = std::make_shared<boost::asio::steady_timer>(io_);
  const auto until = std::chrono::steady_clock::now() + limit;
  const auto look = std::make_shared<std::function<void()>>();
  *look = [this, alive = std::weak_ptr(alive_), timer, until,
           done = std::move(done), weak = std::weak_ptr(look)] {
    if (alive.expired() || in_flight() == 0 ||
        std::chrono::steady_clock::now() >= until)
      return done();
    timer->expires_after(kIdlePoll);
    timer->async_wait([again = weak.lock()](const auto&) { (*again)(); });
  };
  boost::asio::post(io_, [look] { (*look)(); });
}

}  // namespace hearsay::transport
