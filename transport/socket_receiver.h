// The receiving end of one data socket: reads payloads straight to where they
// go. Whoever dialled is a stranger until a message of his was wanted.
//
// Threads: all on the thread that runs the socket's io_context.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "transport/socket_parser.h"
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

  bool stranger() const { return parser_.stranger(); }
  bool receiving() const { return parser_.receiving(); }

 private:
  SocketReceiver(boost::asio::ip::tcp::socket socket,
                 Wire::OnMessage on_message, std::function<void()> on_end);

  void Await();
  // Reads what is there.
  void ReadTurn();
  // False if the socket has nothing more for now, or is closed.
  bool ReadOnce();
  // Ends the connection if a payload stops coming: its place is needed.
  void WatchProgress();
  void End();

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer patience_;
  SocketParser parser_;
  std::function<void()> on_end_;
  bool closed_ = false;
  bool watching_ = false;
  std::size_t received_ = 0;
};

}  // namespace hearsay::transport
