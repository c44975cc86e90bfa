// The listening socket of a node: one port for control connections and for
// data sockets (transport/socket_frame.h), told apart by their first byte.
//
// Threads: all on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>

namespace hearsay::transport {

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  using OnAccept = std::function<void(boost::asio::ip::tcp::socket)>;

  // Binds `listen`. What others are told is `advertise`, or `listen` if that is
  // ""; a port of 0 stands for the one that the system chose.
  // Throws: std::system_error that names the address (in use, not local),
  // std::invalid_argument (not HOST:PORT, or nothing that others could dial).
  Listener(boost::asio::io_context& io, const std::string& listen,
           const std::string& advertise);

  // Accepts from now on, until Close. Data sockets are closed if `on_data` is
  // empty.
  void Start(OnAccept on_control, OnAccept on_data);
  void Close();

  // HOST:PORT with the host as written and the port as bound.
  const std::string& bound() const { return bound_; }
  const std::string& advertised() const { return advertised_; }
  // Numeric.
  const std::string& ip() const { return ip_; }

 private:
  void AcceptNext();
  void Sort(boost::asio::ip::tcp::socket socket);

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  OnAccept on_control_;
  OnAccept on_data_;
  // Sockets whose first byte has not come, the oldest first.
  std::deque<std::shared_ptr<boost::asio::ip::tcp::socket>> unsorted_;
  std::string bound_;
  std::string advertised_;
  std::string ip_;
};

}  // namespace hearsay::transport
