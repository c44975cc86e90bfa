// The receiving end of one data socket: reads payloads straight to where they
// go. Whoever dialled is a stranger until a message of his was wanted.
//
// Threads: all on the thread that runs the socket's io_context.
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "transport/wire.h"

namespace hearsay::transport {

class SocketReceiver : public std::enable_shared_from_this<SocketReceiver> {
 public:
  // `on_end` is called once, unless Close came before. `stranger_limit`: how
  // long he may go on without a message that is wanted.
  static std::shared_ptr<SocketReceiver> Make(
      boost::asio::ip::tcp::socket socket, Wire::OnMessage on_message,
      std::function<void()> on_end, std::chrono::milliseconds stranger_limit);

  void Start();
  // What is arriving is given up: its `done` is called with false.
  void Close();
  // Reads what is there without waiting for the kernel to say so. True if
  // there was something.
  bool Poll();

  bool stranger() const { return stranger_; }
  bool receiving() const { return receive_.has_value(); }

 private:
  SocketReceiver(boost::asio::ip::tcp::socket socket,
                 Wire::OnMessage on_message, std::function<void()> on_end);
  void Await();
  // False if the socket has nothing more for now, or is closed.
  bool ReadOnce();
  bool Consume(std::size_t bytes);
  // Takes messages from the inbox until one wants more than is there.
  bool Parse();
  void Begin(std::span<const std::byte> header, std::size_t payload_bytes);
  // Moves what the inbox holds of the payload.
  void TakeFromInbox();
  void Delivered();
  void End();

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer patience_;
  Wire::OnMessage on_message_;
  std::function<void()> on_end_;
  bool greeted_ = false;
  bool stranger_ = true;
  std::size_t unwanted_ = 0;  // messages while a stranger
  bool closed_ = false;

  // Prefixes, headers and whatever came with them: [begin, end).
  std::array<std::byte, 4096> inbox_{};
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  // The payload on its way: into `receive_`, or to nowhere.
  std::optional<Wire::Receive> receive_;
  std::size_t missing_ = 0;
  std::size_t received_ = 0;
  std::vector<std::byte> nowhere_;
};

}  // namespace hearsay::transport
