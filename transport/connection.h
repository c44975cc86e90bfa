// One TCP connection that carries frames, both ways.
//
// Threads: all on the thread that runs the socket's io_context.
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "transport/frame.h"

namespace hearsay::transport {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Events {
    std::function<void(const std::string& body)> on_frame;
    // Once, and nothing after it: the peer or the network ended it, or it
    // sent something that is no frame. Not called after Close or Finish.
    std::function<void(const std::string& reason)> on_end;
  };

  static std::shared_ptr<Connection> Make(boost::asio::ip::tcp::socket socket,
                                          Events events);

  // Begins to read.
  void Start();
  // Dropped, with false, if the peer has not read what was sent before (the
  // queue is bounded) or the connection is closing.
  bool Send(std::string_view body);
  // At once; what is unsent is lost. The events let go of what they captured.
  void Close();
  // Sends what is queued, then closes; bounded. An abrupt close with unread
  // input would make the kernel drop the last words.
  // `until_closed` is let go of then.
  void Finish(std::shared_ptr<void> until_closed = nullptr);

 private:
  Connection(boost::asio::ip::tcp::socket socket, Events events);
  void Read();
  void OnRead(const boost::system::error_code& error, std::size_t bytes);
  void Write();
  void End(const std::string& reason);

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer finish_timer_;
  std::shared_ptr<const Events> events_;  // Outlives a call that closes.
  FrameDecoder decoder_;
  std::array<std::byte, 16384> input_{};
  std::deque<std::string> output_;
  std::shared_ptr<void> until_closed_;
  bool writing_ = false;
  bool finishing_ = false;
};

}  // namespace hearsay::transport
