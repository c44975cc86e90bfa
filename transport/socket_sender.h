// The sending end of one data socket: dials when there is something to send,
// and writes what it is given in order, headers and payloads together, without
// copying.
//
// Threads: all on the thread that runs `io`.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "transport/address.h"
#include "transport/socket_frame.h"
#include "transport/wire.h"

namespace hearsay::transport {

class SocketSender : public std::enable_shared_from_this<SocketSender> {
 public:
  // `on_broken` is called once, if a connection fails before Close while there
  // is something to send; one that ends idle is dialled again when needed.
  static std::shared_ptr<SocketSender> Make(
      boost::asio::io_context& io, const HostPort& address,
      std::function<void(std::string)> on_broken);

  // As Wire::Send.
  void Send(std::span<const std::byte> header,
            std::span<const std::byte> payload, std::shared_ptr<void> keep,
            std::function<void(bool)> done);
  // Every send that has not gone out ends with false, soon.
  void Close();

  // Sends whose `done` has not been called.
  std::size_t in_flight() const { return queue_.size() + finished_.size(); }

 private:
  enum class State { kIdle, kDialling, kConnected, kClosed };

  struct Operation {
    std::array<std::byte, kSocketPrefixBytes + kMaxWireHeaderBytes> head;
    std::span<const std::byte> head_left;
    std::span<const std::byte> payload_left;
    std::shared_ptr<void> keep;
    std::function<void(bool)> done;
    bool ok = false;
  };

  SocketSender(boost::asio::io_context& io, HostPort address,
               std::function<void(std::string)> on_broken);
  void Dial();
  void Connect(const boost::asio::ip::tcp::resolver::results_type& found);
  void OnConnected();
  // The other end never writes: what can be read is the end.
  void WatchEnd();
  void Write();
  // Takes what the kernel took. Returns bytes.
  void Advance(std::size_t bytes);
  void FinishSoon(std::unique_ptr<Operation> operation, bool ok);
  void RunFinished();
  // The connection has ended, or was not made.
  void Lose(const std::string& reason);
  void Shut();

  boost::asio::io_context& io_;
  const HostPort address_;
  boost::asio::ip::tcp::resolver resolver_;
  boost::asio::ip::tcp::socket socket_;
  std::function<void(std::string)> on_broken_;
  State state_ = State::kIdle;
  bool waiting_ = false;  // for the kernel to take more
  std::span<const std::byte> greeting_left_;
  std::deque<std::unique_ptr<Operation>> queue_;
  std::deque<std::unique_ptr<Operation>> finished_;
};

}  // namespace hearsay::transport
