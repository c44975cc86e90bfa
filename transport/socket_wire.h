// A wire of plain sockets: for networks that are not trusted.
//
// UCX 1.13 over TCP writes into memory where any stranger who reaches its port
// says (ops/decisions/0008), so between institutions pieces travel here: one
// socket a direction, read straight into their place, nothing believed but two
// lengths with bounds.
//
// Threads: all on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "transport/socket_receiver.h"
#include "transport/socket_sender.h"
#include "transport/wire.h"

namespace hearsay::transport {

class SocketWire final : public Wire {
 public:
  // `advertised`: HOST:PORT where others reach this node; who listens there
  // hands data sockets to Adopt.
  SocketWire(boost::asio::io_context& io, const std::string& advertised,
             OnMessage on_message);
  ~SocketWire() override;

  bool adopts() const override { return true; }
  void Adopt(boost::asio::ip::tcp::socket socket) override;

  std::string address() const override;
  std::optional<EndpointId> Connect(
      const std::string& peer_address,
      std::function<void(std::string)> on_broken) override;
  void Close(EndpointId endpoint) override;
  std::string lane(EndpointId endpoint) const override;
  void Send(EndpointId endpoint, std::span<const std::byte> header,
            std::span<const std::byte> payload, std::shared_ptr<void> keep,
            std::function<void(bool sent)> done) override;
  // The kernel holds as much again. What waits for it here has left the cache
  // when its turn comes, and what arrives meanwhile waits longer.
  std::size_t window_bytes(EndpointId) const override {
    return std::size_t{1} << 20;
  }
  std::size_t in_flight() const override;
  void WhenIdle(std::chrono::milliseconds limit,
                std::function<void()> done) override;

 private:
  void DropOldestStranger();

  boost::asio::io_context& io_;
  const std::string advertised_;
  const OnMessage on_message_;
  // Expires with the wire: what is posted looks at it.
  const std::shared_ptr<void> alive_ = std::make_shared<int>();
  EndpointId next_endpoint_ = 1;
  std::unordered_map<EndpointId, std::shared_ptr<SocketSender>> senders_;
  // Closed, until their last `done`.
  std::vector<std::weak_ptr<SocketSender>> closing_;
  std::set<std::shared_ptr<SocketReceiver>> receivers_;
  std::deque<std::weak_ptr<SocketReceiver>> strangers_;  // The oldest first.
};

}  // namespace hearsay::transport
