#include "daemon/admin_server.h"

#include <unistd.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

#include "daemon/admin_listen.h"
#include "daemon/admin_request.h"

namespace hearsay::daemon {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;
// One session class serves both doors: the protocol is erased at accept.
using Stream = beast::basic_stream<asio::generic::stream_protocol>;

constexpr auto kLastWord = std::chrono::seconds(1);
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

}  // namespace

// Shared by the server and its sessions: a session's last completion may run
// after the server is gone, and then finds `stopped`.
struct AdminServer::State : std::enable_shared_from_this<State> {
  class Session;
  template <class Protocol>
  struct Door {
    explicit Door(asio::io_context& io) : acceptor(io), pause(io) {}
    typename Protocol::acceptor acceptor;
    asio::steady_timer pause;
    std::size_t sessions = 0;
  };

  State(asio::io_context& context, const AdminOptions& limits,
        AdminHandler answer)
      : io(context),
        options(limits),
        handler(std::move(answer)),
        tcp_door(context),
        local_door(context),
        last_word(context) {}
  void ListenTcp();
  template <class Protocol>
  void Accept(Door<Protocol>& door);
  template <class Protocol>
  void Serve(Door<Protocol>& door, asio::generic::stream_protocol::socket one);
  AdminResponse Answer(const HttpRequest& request, bool local) const;

  asio::io_context& io;
  const AdminOptions options;
  AdminHandler handler;
  Door<tcp> tcp_door;
  Door<Local> local_door;
  std::string address;
  std::string listen_host;
  SocketLock lock;
  std::set<Session*> sessions;
  asio::steady_timer last_word;  // after Stop, as long as sessions are left
  bool stopped = false;
};

// One connection: read, answer, again while the client keeps it open.
class AdminServer::State::Session
    : public std::enable_shared_from_this<Session> {
 public:
  Session(std::shared_ptr<State> state,
          asio::generic::stream_protocol::socket s, std::size_t& count,
          bool local)
      : state_(std::move(state)),
        stream_(std::move(s)),
        buffer_(state_->options.header_bytes + state_->options.body_bytes),
        count_(count),
        local_(local) {
    ++count_;
    state_->sessions.insert(this);
  }
  // NOLINTNEXTLINE(bugprone-exception-escape): cancel() has nothing to throw.
  ~Session() {
    --count_;
    state_->sessions.erase(this);
    if (state_->sessions.empty()) state_->last_word.cancel();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Read() {
    parser_.emplace();
    Limit(*parser_, state_->options);
    stream_.expires_after(state_->options.timeout);
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](beast::error_code error, std::size_t) {
          self->OnHeader(error);
        });
  }

  // A crowded door's only answer.
  void Refuse() {
    Write(AdminError(503, "too many connections; try again in a moment"),
          Then::kClose);
  }

  void Stop() {
    if (!answering_) stream_.close();
  }
  void Close() { stream_.close(); }

 private:
  enum class Then { kRead, kClose };

  void OnHeader(beast::error_code error) {
    if (error || state_->stopped) return OnRead(error);
    version_ = parser_->get().version();
    if (const auto refusal = RefuseBody(*parser_))
      return Write(*refusal, Then::kClose);
    http::async_read(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](beast::error_code failed, std::size_t) {
          self->OnRead(failed);
        });
  }

  void OnRead(beast::error_code error) {
    if (state_->stopped) return;
    // What follows a malformed request cannot be trusted to be a request.
    if (IsMalformed(error))
      return Write(Malformed(error, state_->options), Then::kClose);
    if (error) return;  // closed, timed out
    const auto& request = parser_->get();
    version_ = request.version();
    head_ = request.method() == http::verb::head;
    answering_ = true;  // the handler may Stop the server, and still answers
    Write(state_->Answer(request, local_),
          request.keep_alive() ? Then::kRead : Then::kClose);
  }

  void Write(AdminResponse answer, Then then) {
    response_ = {};
    response_.version(version_);
    response_.result(static_cast<unsigned>(answer.status));
    response_.set(http::field::content_type, answer.content_type);
    response_.set(http::field::cache_control, "no-store");
    response_.set("X-Content-Type-Options", "nosniff");
    if (response_.result() == http::status::unauthorized)
      response_.set(http::field::www_authenticate, "Bearer");
    response_.keep_alive(then == Then::kRead);
    response_.content_length(answer.body.size());
    if (!head_) response_.body() = std::move(answer.body);
    answering_ = true;
    stream_.expires_after(state_->options.timeout);
    http::async_write(stream_, response_,
                      [self = shared_from_this(), then](beast::error_code error,
                                                        std::size_t) {
                        self->answering_ = false;
                        if (error || self->state_->stopped)
                          return self->Close();
                        if (then == Then::kRead) return self->Read();
                        beast::error_code ignored;
                        self->stream_.socket().shutdown(
                            asio::socket_base::shutdown_send, ignored);
                        self->stream_.expires_after(kLastWord);
                        self->Drain();
                      });
  }

  // Closing on unread bytes would reset the connection, and the client would
  // lose the answer that tells it what was wrong with them.
  void Drain() {
    buffer_.clear();
    stream_.async_read_some(
        buffer_.prepare(4096),
        [self = shared_from_this()](beast::error_code error, std::size_t) {
          if (error || self->state_->stopped) return self->Close();
          self->Drain();
        });
  }

  const std::shared_ptr<State> state_;
  Stream stream_;
  beast::flat_buffer buffer_;
  std::optional<HttpParser> parser_;
  http::response<http::string_body> response_;
  std::size_t& count_;
  const bool local_;
  unsigned version_ = 11;
  bool head_ = false;
  bool answering_ = false;
};

void AdminServer::State::ListenTcp() {
  ListenOnTcp(tcp_door.acceptor, options.listen);
  const auto bound = tcp_door.acceptor.local_endpoint();
  listen_host = bound.address().to_string();
  const std::string port = ":" + std::to_string(bound.port());
  address =
      (bound.address().is_v6() ? "[" + listen_host + "]" : listen_host) + port;
}

template <class Protocol>
void AdminServer::State::Accept(Door<Protocol>& door) {
  auto next = std::make_shared<asio::generic::stream_protocol::socket>(io);
  door.acceptor.async_accept(
      *next, [state = shared_from_this(), &door,
              next](const boost::system::error_code& error) {
        if (state->stopped) return;
        if (!error) {
          state->Serve(door, std::move(*next));
          return state->Accept(door);
        }
        // Out of descriptors, most likely: do not spin on it.
        door.pause.expires_after(kAcceptPause);
        door.pause.async_wait([state, &door](boost::system::error_code) {
          if (!state->stopped) state->Accept(door);
        });
      });
}

template <class Protocol>
void AdminServer::State::Serve(Door<Protocol>& door,
                               asio::generic::stream_protocol::socket one) {
  // Twice the limit: beyond it even a refusal costs more than it is worth.
  if (door.sessions >= 2 * options.connections) return;
  const bool crowded = door.sessions >= options.connections;
  const auto session =
      std::make_shared<Session>(shared_from_this(), std::move(one),
                                door.sessions, std::is_same_v<Protocol, Local>);
  if (crowded)
    session->Refuse();
  else
    session->Read();
}

AdminResponse AdminServer::State::Answer(const HttpRequest& request,
                                         bool local) const {
  const auto asked = ReadAdminRequest(
      request,
      {.local = local, .listen_host = listen_host, .token = options.token});
  if (const auto* refusal = std::get_if<AdminResponse>(&asked)) return *refusal;
  try {
    return handler(std::get<AdminRequest>(asked));
  } catch (const std::exception& error) {
    return AdminError(500, error.what());
  }
}

AdminServer::AdminServer(asio::io_context& io, const AdminOptions& options,
                         AdminHandler handler)
    : state_(std::make_shared<State>(io, options, std::move(handler))) {
  if (!options.listen.empty() && options.token.empty())
    throw std::invalid_argument("admin.listen: TCP needs a token");
  if (!options.listen.empty()) state_->ListenTcp();
  if (!options.unix_socket.empty())
    state_->lock =
        ListenOnUnix(state_->local_door.acceptor, options.unix_socket);
  if (!options.listen.empty()) state_->Accept(state_->tcp_door);
  if (!options.unix_socket.empty()) state_->Accept(state_->local_door);
}

// NOLINTNEXTLINE(bugprone-exception-escape): only lack of memory could throw.
AdminServer::~AdminServer() { Stop(); }

std::string AdminServer::address() const { return state_->address; }

void AdminServer::Stop() {
  if (state_->stopped) return;
  state_->stopped = true;
  boost::system::error_code ignored;
  state_->tcp_door.acceptor.close(ignored);
  state_->tcp_door.pause.cancel();
  if (state_->local_door.acceptor.is_open())
    unlink(state_->options.unix_socket.c_str());
  state_->local_door.acceptor.close(ignored);
  state_->local_door.pause.cancel();
  // Closing never destroys a session here: its completion still holds it.
  for (auto* session : state_->sessions) session->Stop();
  if (state_->sessions.empty()) return;
  state_->last_word.expires_after(kLastWord);
  state_->last_word.async_wait(
      [state = state_](boost::system::error_code cancelled) {
        if (cancelled) return;
        for (auto* session : state->sessions) session->Close();
      });
}

}  // namespace hearsay::daemon
