#include "daemon/admin_request.h"

#include <boost/beast/http/verb.hpp>
#include <boost/url.hpp>
#include <cassert>
#include <cstdint>
#include <nlohmann/json.hpp>

namespace hearsay::daemon {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;

// That a process answers at all is no secret; a supervisor's probe bears none.
constexpr std::string_view kOpenPath = "/livez";

std::string Lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

// "localhost:80" -> "localhost", "[::1]:80" -> "::1"; "" if it is malformed.
std::string HostName(beast::string_view header) {
  std::string host = Lower(std::string(header));
  const auto colon = host.rfind(':');
  if (colon != std::string::npos &&
      host.find_first_not_of("0123456789", colon + 1) == std::string::npos)
    host.resize(colon);  // the port
  if (host.starts_with('[') && host.ends_with(']'))
    return host.substr(1, host.size() - 2);
  return host.find(':') == std::string::npos ? host : "";
}

bool IsAllowed(const std::string& host, const AdminDoor& door) {
  return host == "localhost" || host == "127.0.0.1" || host == "::1" ||
         host == door.listen_host;
}

}  // namespace

AdminResponse AdminError(int status, const std::string& message) {
  const nlohmann::json body = {{"schema", 1}, {"error", message}};
  // A message may quote what a client sent, so it need not be UTF-8.
  const auto replace = nlohmann::json::error_handler_t::replace;
  return {status, "application/json", body.dump(-1, ' ', false, replace)};
}

void Limit(HttpParser& parser, const AdminOptions& options) {
  parser.header_limit(static_cast<std::uint32_t>(options.header_bytes));
  parser.body_limit(options.body_bytes);
}

std::optional<AdminResponse> RefuseBody(const HttpParser& parser) {
  if (!parser.chunked()) return std::nullopt;
  return AdminError(411, "say the body's Content-Length; chunks are not read");
}

std::variant<AdminRequest, AdminResponse> ReadAdminRequest(
    const HttpRequest& request, const AdminDoor& door) {
  const http::verb verb = request.method();
  if (verb != http::verb::get && verb != http::verb::head &&
      verb != http::verb::post)
    return AdminError(405, "only GET, HEAD and POST are served");
  if (!door.local && !IsAllowed(HostName(request[http::field::host]), door))
    return AdminError(421,
                      "this address is served as localhost only; the Host "
                      "header says \"" +
                          std::string(request[http::field::host]) + "\"");
  const auto url = boost::urls::parse_origin_form(request.target());
  if (!url) return AdminError(400, "malformed request target");
  if (!door.local && url->path() != kOpenPath &&
      !BearsToken(std::string_view(request[http::field::authorization]),
                  door.token))
    return AdminError(401,
                      "TCP needs the node's token (hearsay --token-file "
                      "STATE_DIR/admin.token, or a header \"Authorization: "
                      "Bearer TOKEN\"); its unix socket needs none");
  AdminRequest asked;
  asked.method = verb == http::verb::post ? "POST" : "GET";
  asked.path = url->path();
  for (const auto& parameter : url->params())
    asked.query[parameter.key] = parameter.value;
  asked.body = request.body();
  asked.local = door.local;
  return asked;
}

bool BearsToken(std::string_view header, std::string_view token) {
  assert(!token.empty());
  constexpr std::string_view kScheme = "Bearer ";
  if (!header.starts_with(kScheme)) return false;
  header.remove_prefix(kScheme.size());
  unsigned differs = header.size() == token.size() ? 0 : 1;
  for (std::size_t i = 0; i < header.size(); ++i)
    differs |= static_cast<unsigned char>(header[i]) ^
               static_cast<unsigned char>(token[i % token.size()]);
  return differs == 0;
}

bool IsMalformed(const beast::error_code& error) {
  return error.category() == http::make_error_code(http::error{}).category() &&
         error != http::error::end_of_stream;
}

AdminResponse Malformed(const beast::error_code& error,
                        const AdminOptions& options) {
  if (error == http::error::header_limit ||
      error == http::error::buffer_overflow)
    return AdminError(431, "the request's header is longer than " +
                               std::to_string(options.header_bytes) + " bytes");
  if (error == http::error::body_limit)
    return AdminError(413, "the request's body is longer than " +
                               std::to_string(options.body_bytes) + " bytes");
  return AdminError(400, "malformed request: " + error.message());
}

}  // namespace hearsay::daemon
