#include "daemon/admin_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/admin_request.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using tests::TemporaryFolder;

// A plain blocking client: what is tested must not also be the tool.
class Client {
 public:
  static Client Unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    return {AF_UNIX, reinterpret_cast<const sockaddr*>(&address),
            sizeof(address)};
  }
  static Client Tcp(const std::string& address) {
    const auto colon = address.rfind(':');
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port =
        htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    return {AF_INET, reinterpret_cast<const sockaddr*>(&to), sizeof(to)};
  }
  Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Client& operator=(Client&&) = delete;
  ~Client() {
    if (fd_ >= 0) close(fd_);
  }

  bool connected() const { return connected_; }

  // False if the server hung up before it had taken everything.
  bool Send(const std::string& bytes) const {
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  // Everything until the server closes.
  std::string ReadAll() const {
    std::string all;
    while (auto more = Some()) all += *more;
    return all;
  }
  // One answer of a connection that stays open.
  std::string ReadAnswer() const {
    std::string all;
    while (true) {
      const auto end = all.find("\r\n\r\n");
      if (end != std::string::npos) {
        const auto length = all.find("Content-Length: ");
        const auto bytes = std::stoul(all.substr(length + 16));
        if (all.size() >= end + 4 + bytes) return all;
      }
      const auto more = Some();
      if (!more) return all;
      all += *more;
    }
  }

 private:
  Client(int family, const sockaddr* address, socklen_t size)
      : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{10, 0};  // a hang is a failure, not a wait
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    connected_ = connect(fd_, address, size) == 0;
  }
  std::optional<std::string> Some() const {
    char bytes[4096];
    const auto got = recv(fd_, bytes, sizeof(bytes), 0);
    if (got < 0 && errno != ECONNRESET)
      ADD_FAILURE() << "recv: " << strerror(errno);
    if (got <= 0) return std::nullopt;
    return std::string(bytes, static_cast<std::size_t>(got));
  }

  int fd_ = -1;
  bool connected_ = false;
};

constexpr const char* kToken = "0123456789abcdef";

AdminResponse Echo(const AdminRequest& request) {
  if (request.path == "/private" && !request.local)
    return AdminError(404, "no such page");
  if (request.path == "/throws") throw std::runtime_error("the \xff disk");
  if (request.path == "/big")
    return {200, "application/octet-stream", std::string(8 << 20, 'x')};
  nlohmann::json query(request.query);
  return {200, "application/json",
          nlohmann::json{{"method", request.method},
                         {"path", request.path},
                         {"query", query},
                         {"body", request.body},
                         {"local", request.local}}
              .dump()};
}

// A server on its own event loop, as in the daemon.
class Served {
 public:
  explicit Served(AdminOptions options = {}, AdminHandler handler = Echo) {
    if (options.listen.empty()) options.listen = "127.0.0.1:0";
    if (options.unix_socket.empty()) options.unix_socket = folder_ / "s";
    if (options.token.empty()) options.token = kToken;
    socket_ = options.unix_socket.string();
    server_.emplace(io_, options, std::move(handler));
    address_ = server_->address();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Served() {
    Stop();
    guard_.reset();
    thread_.join();  // hangs if Stop left a timer or a session behind
  }
  void Stop() {
    OnLoop([this] { server_->Stop(); });
  }
  template <class Work>
  void OnLoop(Work work) {
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  std::string Unix(const std::string& bytes) const {
    const Client client = Client::Unix(socket_);
    client.Send(bytes);
    return client.ReadAll();
  }
  std::string Tcp(const std::string& bytes) const {
    const Client client = Client::Tcp(address_);
    client.Send(bytes);
    return client.ReadAll();
  }
  AdminServer& server() { return *server_; }
  const std::string& socket_path() const { return socket_; }
  const std::string& address() const { return address_; }

 private:
  TemporaryFolder folder_;
  boost::asio::io_context io_;
  // So that a loop without work left still runs what is posted.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      guard_{io_.get_executor()};
  std::string socket_, address_;
  std::optional<AdminServer> server_;
  std::thread thread_;
};

std::string Get(const std::string& target, const std::string& host = "x") {
  return "GET " + target + " HTTP/1.1\r\nHost: " + host +
         "\r\nAuthorization: Bearer " + kToken +
         "\r\nConnection: close\r\n\r\n";
}

nlohmann::json Body(const std::string& answer) {
  return nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4));
}

template <class Error, class Work>
std::string MessageOf(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(AdminServerTest, HandsOverMethodPathQueryAndBody) {
  const Served served;
  const auto got = Body(
      served.Unix("POST /v1/a%20b?after=12&name=%C3%A9&after=13&flag HTTP/1.1"
                  "\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n"
                  "\r\nbody"));
  EXPECT_EQ(got["method"], "POST");
  EXPECT_EQ(got["path"], "/v1/a b");
  EXPECT_EQ(got["query"],
            (nlohmann::json{{"after", "13"}, {"name", "é"}, {"flag", ""}}));
  EXPECT_EQ(got["body"], "body");
  EXPECT_EQ(got["local"], true);
}

TEST(AdminServerTest, TellsTheTwoDoorsApart) {
  const Served served;
  const std::string request = Get("/private", "localhost");
  EXPECT_THAT(served.Unix(request), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(served.Tcp(request), StartsWith("HTTP/1.1 404"));
  EXPECT_EQ(Body(served.Tcp(Get("/", "localhost")))["local"], false);
}

TEST(AdminServerTest, KeepsAConnectionOpenForTheNextRequest) {
  const Served served;
  const Client client = Client::Unix(served.socket_path());
  const std::string request = "GET /one HTTP/1.1\r\nHost: x\r\n\r\n";
  client.Send(request);
  EXPECT_EQ(Body(client.ReadAnswer())["path"], "/one");
  client.Send(request + Get("/two"));  // pipelined
  EXPECT_THAT(client.ReadAll(), AllOf(HasSubstr("/one"), HasSubstr("/two")));
}

TEST(AdminServerTest, AnswersHeadWithoutABody) {
  const Served served;
  const std::string answer =
      served.Unix("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST(AdminServerTest, SendsLargeAnswersWhole) {
  const Served served;
  const std::string answer = served.Unix(Get("/big"));
  EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, 8u << 20);
}

TEST(AdminServerTest, NeedsTheTokenOverTcpOnly) {
  const Served served;
  const auto ask = [](const std::string& start, const std::string& header) {
    return start + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
           header + "Content-Length: 0\r\n\r\n";
  };
  const std::string right = std::string("Authorization: Bearer ") + kToken;
  for (const std::string& wrong :
       {std::string(), std::string("Authorization: "),
        std::string("Authorization: Bearer "),
        std::string("Authorization: Bearer 0123456789abcdeg"),
        std::string("Authorization: Basic ") + kToken,
        std::string("Authorization: bearer") + kToken, right + "0",
        right.substr(0, right.size() - 1), right + kToken,
        std::string("X-Authorization: Bearer ") + kToken}) {
    const std::string header = wrong.empty() ? wrong : wrong + "\r\n";
    for (const char* start : {"GET /", "POST /v1/stop", "HEAD /", "GET //livez",
                              "GET /livez/", "GET /x?/livez"}) {
      const std::string answer = served.Tcp(ask(start, header));
      EXPECT_THAT(answer, StartsWith("HTTP/1.1 401")) << start << header;
      EXPECT_THAT(answer, HasSubstr("WWW-Authenticate: Bearer"));
    }
    EXPECT_THAT(served.Tcp(ask("GET /livez", header)),
                StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(served.Unix(ask("POST /v1/stop", header)),
                StartsWith("HTTP/1.1 200"));
  }
  EXPECT_THAT(Body(served.Tcp(ask("GET /", "")))["error"],
              AllOf(HasSubstr("--token-file"), HasSubstr("unix socket")));
  for (const char* start : {"GET /", "POST /v1/stop"})
    EXPECT_THAT(served.Tcp(ask(start, right + "\r\n")),
                StartsWith("HTTP/1.1 200"));
}

TEST(AdminRequestTest, ComparesWholeTokens) {
  EXPECT_TRUE(BearsToken("Bearer abc", "abc"));
  for (const char* wrong :
       {"", "abc", "Bearer ", "Bearer ab", "Bearer abcd", "Bearer abcabc",
        "Bearer abd", "bearer abc", "Bearer  abc", "Bearer abc "})
    EXPECT_FALSE(BearsToken(wrong, "abc")) << wrong;
}

TEST(AdminServerTest, DoesNotOpenTcpWithoutAToken) {
  boost::asio::io_context io;
  AdminOptions options;
  options.listen = "127.0.0.1:0";
  EXPECT_THAT(
      MessageOf<std::invalid_argument>([&] { AdminServer(io, options, Echo); }),
      HasSubstr("token"));
}

TEST(AdminServerTest, RefusesHostNamesThatAWebPageCouldClaim) {
  const Served served;
  for (const char* host :
       {"evil.example", "evil.example:80", "localhost.evil", "127.0.0.1.evil",
        "", "[::1", "10.0.0.1", "[::1]evil:80", "localhost:80:80",
        "localhost:a", "::1"})
    EXPECT_THAT(served.Tcp(Get("/", host)), StartsWith("HTTP/1.1 421")) << host;
  for (const char* host :
       {"localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:99", "[::1]:5"})
    EXPECT_THAT(served.Tcp(Get("/", host)), StartsWith("HTTP/1.1 200")) << host;
  EXPECT_THAT(served.Tcp("GET / HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.0 421"));
}

// Beast (Boost 1.81) asserts on a last chunk whose end comes byte by byte.
TEST(AdminServerTest, RefusesChunkedBodiesAndLivesOn) {
  const Served served;
  const std::string header =
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string start : {"", "0", "0\r\n", "zz\r\n"}) {
    const Client client = Client::Unix(served.socket_path());
    client.Send(header + start);
    EXPECT_THAT(client.ReadAnswer(), StartsWith("HTTP/1.1 411"));
    client.Send("a");
  }
  EXPECT_THAT(served.Unix(Get("/")), StartsWith("HTTP/1.1 200"));
}

TEST(AdminServerTest, AnswersMalformedRequestsWith400AndLivesOn) {
  const Served served;
  for (const char* bytes :
       {"\r\n\r\nnonsense\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/7.1\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"}) {
    const std::string answer = served.Unix(bytes);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 400")) << bytes << answer;
    EXPECT_TRUE(Body(answer).contains("error"));
  }
  EXPECT_THAT(served.Unix(Get("/")), StartsWith("HTTP/1.1 200"));
}

TEST(AdminServerTest, RefusesOtherMethods) {
  const Served served;
  EXPECT_THAT(served.Unix("DELETE / HTTP/1.1\r\nHost: x\r\n"
                          "Connection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 405"));
}

TEST(AdminServerTest, LimitsTheHeader) {
  const Served served;
  const auto with_header = [](std::size_t bytes) {
    return "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: " +
           std::string(bytes, 'y') + "\r\n\r\n";
  };
  EXPECT_THAT(served.Unix(with_header(8000)), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(served.Unix(with_header(8192)), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(served.Tcp(with_header(1 << 20)), StartsWith("HTTP/1.1 431"));
}

TEST(AdminServerTest, LimitsTheBody) {
  const Served served;
  const auto with_body = [](std::size_t bytes) {
    return "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
           "Content-Length: " +
           std::to_string(bytes) + "\r\n\r\n" + std::string(bytes, 'y');
  };
  EXPECT_THAT(served.Unix(with_body(65536)), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(served.Unix(with_body(65537)), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(served.Tcp(with_body(1 << 20)), StartsWith("HTTP/1.1 413"));
}

TEST(AdminServerTest, LetsAClientFinishWhatIsTooLong) {
  const Served served;
  const Client client = Client::Tcp(served.address());
  EXPECT_TRUE(client.Send("GET / HTTP/1.1\r\nX: " +
                          std::string(std::size_t{32} << 20, 'y')));
  EXPECT_THAT(client.ReadAnswer(), StartsWith("HTTP/1.1 431"));
}

TEST(AdminServerTest, ClosesSilentAndDrippingClients) {
  AdminOptions options;
  options.timeout = std::chrono::milliseconds(200);
  const Served served(options);
  const Client silent = Client::Unix(served.socket_path());
  const Client dripping = Client::Tcp(served.address());
  const auto start = std::chrono::steady_clock::now();
  dripping.Send("GET / HT");
  std::this_thread::sleep_for(std::chrono::milliseconds(120));
  dripping.Send("TP/1.1\r\n");  // the limit is on the request, not the byte
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_EQ(dripping.ReadAll(), "");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(AdminServerTest, ACrowdAtOneDoorIsRefusedAndDoesNotShutTheOther) {
  AdminOptions options;
  options.connections = 3;
  const Served served(options);
  const std::string request = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
  std::vector<Client> crowd;
  for (int i = 0; i < 3; ++i) {
    crowd.push_back(Client::Tcp(served.address()));
    crowd.back().Send(request);
    EXPECT_THAT(crowd.back().ReadAnswer(), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_THAT(served.Tcp(request), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(served.Unix(Get("/")), StartsWith("HTTP/1.1 200"));
  crowd.pop_back();
  std::string answer;  // the server needs a moment to see it go
  for (int i = 0; i < 200 && !answer.starts_with("HTTP/1.1 200"); ++i)
    answer = served.Tcp(Get("/", "localhost"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
}

TEST(AdminServerTest, TurnsAThrowingHandlerInto500) {
  const Served served;
  const std::string answer = served.Unix(Get("/throws"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(Body(answer)["error"], HasSubstr("disk"));
}

TEST(AdminServerTest, OnlyTheOwnerMayOpenTheSocket) {
  const Served served;
  struct stat info {};
  ASSERT_EQ(stat(served.socket_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST(AdminServerTest, ReplacesTheSocketOfADeadProcess) {
  const TemporaryFolder folder;
  AdminOptions options;
  options.unix_socket = folder / "s";
  {
    // Bound and never unlinked, as after kill -9.
    const int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = options.unix_socket.string();
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(
        bind(dead, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    close(dead);
  }
  const Served served(options);
  EXPECT_THAT(served.Unix(Get("/")), StartsWith("HTTP/1.1 200"));
}

TEST(AdminServerTest, RefusesTheSocketOfALiveServer) {
  const Served served;
  boost::asio::io_context io;
  AdminOptions options;
  options.unix_socket = served.socket_path();
  EXPECT_THAT(
      MessageOf<std::system_error>([&] { AdminServer(io, options, Echo); }),
      HasSubstr("another hearsayd serves " + served.socket_path()));
  EXPECT_THAT(served.Unix(Get("/")), StartsWith("HTTP/1.1 200"));
}

TEST(AdminServerTest, LeavesFilesThatAreNoSocketAlone) {
  const TemporaryFolder folder;
  std::ofstream(folder / "s") << "precious";
  boost::asio::io_context io;
  AdminOptions options;
  options.unix_socket = folder / "s";
  EXPECT_THAT(
      MessageOf<std::system_error>([&] { AdminServer(io, options, Echo); }),
      HasSubstr("not a socket"));
  std::string kept;
  std::ifstream(folder / "s") >> kept;
  EXPECT_EQ(kept, "precious");
}

TEST(AdminServerTest, RefusesASocketPathThatTheSystemCannotHold) {
  boost::asio::io_context io;
  AdminOptions options;
  options.unix_socket = "/tmp/" + std::string(103, 'p');
  EXPECT_THAT(
      MessageOf<std::invalid_argument>([&] { AdminServer(io, options, Echo); }),
      AllOf(HasSubstr("at most 107 bytes, this one 108"),
            HasSubstr("node.state_dir")));
}

TEST(AdminServerTest, NamesTheFolderThatIsMissing) {
  boost::asio::io_context io;
  AdminOptions options;
  options.unix_socket = "/nowhere/at/all/s";
  EXPECT_THAT(
      MessageOf<std::system_error>([&] { AdminServer(io, options, Echo); }),
      HasSubstr("/nowhere/at/all/s"));
}

TEST(AdminServerTest, NamesTheAddressThatIsTaken) {
  const Served served;
  boost::asio::io_context io;
  AdminOptions options;
  options.listen = served.address();
  options.token = kToken;
  try {
    const AdminServer second(io, options, Echo);
    FAIL() << "bound twice";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::address_in_use);
    EXPECT_THAT(error.what(), HasSubstr(served.address()));
  }
}

TEST(AdminServerTest, RefusesWhatIsNoAddress) {
  boost::asio::io_context io;
  for (const char* listen : {"127.0.0.1", "nowhere.example:80", "127.0.0.1:",
                             "127.0.0.1:65536", "127.0.0.1:80x", ":80"}) {
    AdminOptions options;
    options.listen = listen;
    options.token = kToken;
    EXPECT_THAT(MessageOf<std::invalid_argument>(
                    [&] { AdminServer(io, options, Echo); }),
                AllOf(HasSubstr("admin.listen"), HasSubstr(listen)));
  }
}

TEST(AdminServerTest, ServesUnderThePortThatItReports) {
  const Served served;
  EXPECT_THAT(served.address(), StartsWith("127.0.0.1:"));
  EXPECT_THAT(served.Tcp(Get("/", served.address())),
              StartsWith("HTTP/1.1 200"));
}

TEST(AdminServerTest, StopShutsTheDoorsAndMayBeRepeated) {
  Served served;
  const Client idle = Client::Unix(served.socket_path());
  served.Stop();
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_FALSE(std::filesystem::exists(served.socket_path()));
  EXPECT_FALSE(Client::Tcp(served.address()).connected());
  served.Stop();
}

TEST(AdminServerTest, AnswersTheRequestThatStopsIt) {
  Served* self = nullptr;
  Served served({}, [&](const AdminRequest&) {
    self->server().Stop();
    return AdminResponse{200, "text/plain", "bye"};
  });
  self = &served;
  EXPECT_THAT(served.Unix(Get("/v1/stop")),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("bye")));
}

TEST(AdminServerTest, OutlivesNobodyWhenDestroyedWithClientsConnected) {
  const TemporaryFolder folder;
  boost::asio::io_context io;
  AdminOptions options;
  options.unix_socket = folder / "s";
  int calls = 0;
  std::optional<AdminServer> server;
  server.emplace(io, options, [&](const AdminRequest&) {
    ++calls;
    return AdminResponse{};
  });
  const Client client = Client::Unix(folder / "s");
  io.poll();  // accepted
  client.Send(Get("/"));
  server.reset();
  io.run();  // returns: nothing is left to wait for
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(client.ReadAll(), "");
}

}  // namespace
}  // namespace hearsay::daemon
