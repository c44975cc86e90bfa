// The daemon's door for operators: HTTP on a unix socket and, if wanted, on a
// loopback address. This file moves requests and answers; what they mean is the
// handler's business.
//
// The two doors differ. The unix socket (mode 0600) is the node owner's: there
// `local` is true. TCP may be reached by a browser or another user, so it needs
// the token (all but /livez), and a host name that no web page can claim
// (against DNS rebinding). Every header, body, wait and number of connections
// has a limit; whatever a client sends, it gets an answer or is closed, and
// nothing is thrown out of the event loop.
//
// Threads: made, used and destroyed on the thread that runs `io`, or while none
// does. The handler is called there too.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}

namespace hearsay::daemon {

struct AdminRequest {
  std::string method;  // "GET" (a HEAD too: its body is dropped) or "POST"
  std::string path;    // decoded, without the query
  std::map<std::string, std::string> query;  // decoded; of repeats, the last
  std::string body;
  bool local = false;  // came over the unix socket
};

struct AdminResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};

// May throw: the client gets a 500 with what().
using AdminHandler = std::function<AdminResponse(const AdminRequest&)>;

struct AdminOptions {
  std::string listen;                 // IP:PORT, [IP6]:PORT; "" = no TCP
  std::filesystem::path unix_socket;  // "" = none
  std::string token;                  // admin_token.h; TCP needs one
  // To send one whole request, to take one whole answer, and between two.
  std::chrono::milliseconds timeout{10'000};
  // Each door's own, so that a crowd at one cannot shut the other.
  std::size_t connections = 64;
  std::size_t header_bytes = std::size_t{8} << 10;
  std::size_t body_bytes = std::size_t{64} << 10;
};

// {"schema":1,"error":"..."}
AdminResponse AdminError(int status, const std::string& message);

class AdminServer {
 public:
  // Binds and serves from the next turn of `io` on. The socket file of a dead
  // process is replaced.
  // Throws: std::invalid_argument (`listen` is no address or has no token, the
  // socket's path is too long), std::system_error that names the address
  // (taken, not local, a live hearsayd serves the path, the path is not a
  // socket).
  AdminServer(boost::asio::io_context& io, const AdminOptions& options,
              AdminHandler handler);
  ~AdminServer();  // NOLINT(bugprone-exception-escape): see the .cc
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  // HOST:PORT bound; "" without TCP.
  std::string address() const;

  // Closes both doors, removes the socket file, and never calls the handler
  // again. Answers on their way get a last second. Idempotent.
  void Stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace hearsay::daemon
