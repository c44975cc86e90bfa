// One TCP connection that carries frames, both ways, in the clear or in TLS.
//
// Threads: all on the thread that runs the socket's io_context.
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "transport/frame.h"
#include "transport/tls/channel.h"

namespace hearsay::transport {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Events {
    // Once, before any frame: what is sent from now on arrives, and (TLS) the
    // other end's certificate is good. Not from within Make.
    std::function<void()> on_ready;
    std::function<void(const std::string& body)> on_frame;
    // Once, and nothing after it: the peer or the network ended it, it sent
    // something that is no frame, or it is not trusted. The connection sees to
    // its own end then. Not called after Close or Finish.
    std::function<void(const std::string& reason)> on_end;
  };

  // Without a channel: in the clear.
  static std::shared_ptr<Connection> Make(boost::asio::ip::tcp::socket socket,
                                          std::unique_ptr<tls::Channel> channel,
                                          Events events);

  // Begins to read, and to shake hands.
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

  // Null: in the clear.
  const tls::Channel* channel() const { return channel_.get(); }
  // It ended because one end does not take the other for a member, or speaks
  // TLS where the other does not: a new attempt will not help soon.
  bool refused() const { return refused_ || (channel_ && channel_->refused()); }
  // Of the peer's end, "" if it was gone at once.
  const std::string& remote_ip() const { return remote_ip_; }

 private:
  Connection(boost::asio::ip::tcp::socket socket,
             std::unique_ptr<tls::Channel> channel, Events events);
  void Read();
  void OnRead(const boost::system::error_code& error, std::size_t bytes);
  void Take(std::span<const std::byte> bytes);
  void OnCipher(std::span<const std::byte> bytes);
  bool IsOpenPeer(std::span<const std::byte> bytes);
  void OnPlain(std::span<const std::byte> bytes);
  bool Flush();
  void Push(std::string bytes);
  void Write();
  void End(const std::string& reason);
  void EndAfterLastWords(const std::string& reason);
  void Shut();

  boost::asio::ip::tcp::socket socket_;
  const std::unique_ptr<tls::Channel> channel_;
  std::string remote_ip_;
  boost::asio::steady_timer finish_timer_;
  std::shared_ptr<const Events> events_;  // Outlives a call that closes.
  FrameDecoder decoder_;
  std::array<std::byte, 16384> input_{};
  std::deque<std::string> output_;
  std::shared_ptr<void> until_closed_;
  bool writing_ = false;
  bool finishing_ = false;
  bool heard_ = false;
  bool refused_ = false;
};

}  // namespace hearsay::transport
