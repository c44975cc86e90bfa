#include "daemon/admin_listen.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <stdexcept>
#include <system_error>

namespace hearsay::daemon {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;

std::system_error SystemError(int code, const std::string& what) {
  return {code, std::generic_category(), what};
}

tcp::endpoint ParseListen(const std::string& listen) {
  const auto wrong = [&](const char* why) {
    return std::invalid_argument("admin.listen \"" + listen + "\": " + why +
                                 "; say IP:PORT, such as 127.0.0.1:0");
  };
  const std::size_t colon = listen.rfind(':');
  if (colon == std::string::npos) throw wrong("has no port");
  std::string host = listen.substr(0, colon);
  if (host == "localhost") host = "127.0.0.1";
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  boost::system::error_code failed;
  const auto address = asio::ip::make_address(host, failed);
  if (failed) throw wrong("the host is not an IP address");
  std::uint16_t port = 0;
  const char* end = listen.data() + listen.size();
  const auto [rest, error] =
      std::from_chars(listen.data() + colon + 1, end, port);
  if (error != std::errc() || rest != end)
    throw wrong("the port is not a number up to 65535");
  return {address, port};
}

}  // namespace

SocketLock::SocketLock(const std::filesystem::path& socket) {
  const std::string path = socket.string() + ".lock";
  fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) throw SystemError(errno, "cannot open " + path);
  if (flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  const int why = errno;
  close(fd_);  // a constructor that throws has no destructor
  if (why != EWOULDBLOCK) throw SystemError(why, "cannot lock " + path);
  throw SystemError(EADDRINUSE, "another hearsayd serves " + socket.string());
}

SocketLock::~SocketLock() {
  if (fd_ >= 0) close(fd_);
}

void ListenOnTcp(tcp::acceptor& acceptor, const std::string& listen) {
  const tcp::endpoint endpoint = ParseListen(listen);
  try {
    acceptor.open(endpoint.protocol());
    // So that a restart is not kept out by its predecessor's TIME_WAIT.
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen();
  } catch (const boost::system::system_error& error) {
    throw SystemError(error.code().value(), "cannot serve the admin API on " +
                                                listen + " (admin.listen)");
  }
}

SocketLock ListenOnUnix(Local::acceptor& acceptor,
                        const std::filesystem::path& socket) {
  const std::string path = socket.string();
  constexpr std::size_t kLongest = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > kLongest)
    throw std::invalid_argument(path + ": a unix socket's path has at most " +
                                std::to_string(kLongest) + " bytes, this one " +
                                std::to_string(path.size()) +
                                "; choose a shorter node.state_dir");
  SocketLock lock(socket);
  std::error_code ignored;
  const auto status = std::filesystem::symlink_status(path, ignored);
  if (std::filesystem::is_socket(status))
    std::filesystem::remove(path, ignored);  // if it stays, bind says so
  else if (std::filesystem::exists(status))
    throw SystemError(EEXIST, path + " is not a socket; move it away");
  try {
    const Local::endpoint endpoint(path);
    acceptor.open(endpoint.protocol());
    acceptor.bind(endpoint);
    // Before listen(), so nobody can connect under the umask's mode.
    if (chmod(path.c_str(), 0600) != 0)
      throw SystemError(errno, "cannot protect " + path);
    acceptor.listen();
  } catch (const boost::system::system_error& error) {
    throw SystemError(error.code().value(), "cannot serve " + path);
  }
  return lock;
}

}  // namespace hearsay::daemon
