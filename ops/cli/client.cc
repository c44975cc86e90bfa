#include "ops/cli/client.h"

#include <fmt/format.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>
#include <vector>

namespace hearsay::ops {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Endpoint = asio::generic::stream_protocol::endpoint;

constexpr std::size_t kLargestAnswer = std::size_t{64} << 20;
constexpr const char* kUnixPrefix = "unix:";

// One request on one connection, with one deadline over all of it.
class Call {
 public:
  Call(const NodeAddress& node, const std::string& method,
       const std::string& target)
      : stream_(io_) {
    const bool local = node.address.starts_with(kUnixPrefix);
    request_.method_string(method);
    request_.target(target);
    request_.version(11);
    request_.set(http::field::host, local ? "localhost" : node.address);
    if (!local && !node.token.empty())
      request_.set(http::field::authorization, "Bearer " + node.token);
    request_.keep_alive(false);
    request_.prepare_payload();
    parser_.body_limit(kLargestAnswer);
  }

  beast::error_code Run(const Endpoint& endpoint,
                        std::chrono::milliseconds patience) {
    stream_.expires_after(patience);
    stream_.async_connect(endpoint, [this](beast::error_code error) {
      if (!Failed(error)) Write();
    });
    io_.run();
    return error_;
  }

  Answer TakeAnswer() {
    auto& response = parser_.get();
    return {static_cast<int>(response.result_int()),
            std::move(response.body())};
  }

 private:
  bool Failed(beast::error_code error) {
    error_ = error;
    return bool(error);
  }

  void Write() {
    http::async_write(stream_, request_,
                      [this](beast::error_code error, std::size_t) {
                        if (!Failed(error)) Read();
                      });
  }

  void Read() {
    http::async_read(
        stream_, buffer_, parser_,
        [this](beast::error_code error, std::size_t) { Failed(error); });
  }

  asio::io_context io_;
  beast::basic_stream<asio::generic::stream_protocol> stream_;
  beast::flat_buffer buffer_;
  http::request<http::empty_body> request_;
  http::response_parser<http::string_body> parser_;
  beast::error_code error_;
};

std::vector<Endpoint> Resolve(const std::string& address) {
  if (address.starts_with(kUnixPrefix)) {
    try {
      return {asio::local::stream_protocol::endpoint(
          address.substr(std::string(kUnixPrefix).size()))};
    } catch (const boost::system::system_error& error) {
      throw Exit(kUsage,
                 fmt::format("{}: {}", address, error.code().message()));
    }
  }
  const auto colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size())
    throw Exit(kUsage, fmt::format("\"{}\" is no address; write HOST:PORT or "
                                   "unix:PATH",
                                   address));
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  asio::io_context io;
  beast::error_code error;
  const auto found = asio::ip::tcp::resolver(io).resolve(
      host, address.substr(colon + 1), error);
  if (error)
    throw Unreachable(
        fmt::format("{}: cannot find this host: {}", address, error.message()));
  std::vector<Endpoint> endpoints;
  for (const auto& entry : found) endpoints.emplace_back(entry.endpoint());
  return endpoints;
}

std::string DaemonsWords(const Answer& answer) {
  const Json body = Json::parse(answer.body, nullptr, false);
  if (body.is_object() && body.contains("error") && body["error"].is_string())
    return body["error"];
  return fmt::format("answered with HTTP status {}", answer.status);
}

}  // namespace

Answer Ask(const NodeAddress& node, const std::string& method,
           const std::string& target, std::chrono::milliseconds patience) {
  beast::error_code error;
  for (const auto& endpoint : Resolve(node.address)) {
    Call call(node, method, target);
    error = call.Run(endpoint, patience);
    if (!error) return call.TakeAnswer();
  }
  const std::string why =
      error == beast::error::timeout
          ? fmt::format("no answer within {} ms", patience.count())
          : error.message();
  throw Unreachable(
      fmt::format("{}: no daemon answers: {}; if it is not running, start it "
                  "(`hearsay up`)",
                  node.address, why));
}

Json AskJson(const NodeAddress& node, const std::string& method,
             const std::string& target, std::chrono::milliseconds patience) {
  const std::string& address = node.address;
  const Answer answer = Ask(node, method, target, patience);
  constexpr int kUnauthorisedStatus = 401;
  constexpr int kForbiddenStatus = 403;
  if (answer.status == kUnauthorisedStatus || answer.status == kForbiddenStatus)
    throw Exit(kUnauthorised,
               fmt::format("{}: {}", address, DaemonsWords(answer)));
  if (answer.status / 100 != 2)
    throw Exit(kError, fmt::format("{}: {} {}: {}", address, method, target,
                                   DaemonsWords(answer)));
  Json body = Json::parse(answer.body, nullptr, false);
  if (!body.is_object() || body.value("schema", 0) != 1)
    throw Exit(kError, fmt::format("{}: {} is not what a hearsayd of this "
                                   "release answers",
                                   address, target));
  return body;
}

}  // namespace hearsay::ops
