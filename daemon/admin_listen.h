// Opens the admin server's two doors: what must be true before anybody can
// connect, and the clear words when it cannot be.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <filesystem>
#include <string>
#include <utility>

namespace hearsay::daemon {

// Holds PATH.lock as long as it lives. Tells a dead owner's socket from a live
// one's without a race between two daemons that start at once: the kernel drops
// the lock with its process.
class SocketLock {
 public:
  SocketLock() = default;
  // Throws: std::system_error (somebody else holds it, the folder is missing).
  explicit SocketLock(const std::filesystem::path& socket);
  ~SocketLock();
  SocketLock(SocketLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  SocketLock& operator=(SocketLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

 private:
  int fd_ = -1;
};

// `listen` is IP:PORT, [IP6]:PORT or localhost:PORT.
// Throws: std::invalid_argument (no address), std::system_error that names it.
void ListenOnTcp(boost::asio::ip::tcp::acceptor& acceptor,
                 const std::string& listen);

// Mode 0600; replaces the socket of a dead process. Keep the lock.
// Throws: std::invalid_argument (path too long), std::system_error that names
// the path (a live owner, no socket, no folder).
[[nodiscard]] SocketLock ListenOnUnix(
    boost::asio::local::stream_protocol::acceptor& acceptor,
    const std::filesystem::path& socket);

}  // namespace hearsay::daemon
