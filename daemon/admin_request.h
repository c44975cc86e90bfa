// From one HTTP message to what it asks for, or to the answer that turns it
// away: who may ask what at which door. No socket here, so that it can be
// fuzzed.
#pragma once

#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "daemon/admin_server.h"

namespace hearsay::daemon {

using HttpRequest =
    boost::beast::http::request<boost::beast::http::string_body>;
using HttpParser =
    boost::beast::http::request_parser<boost::beast::http::string_body>;

// Which door it came to.
struct AdminDoor {
  bool local = false;       // the unix socket
  std::string listen_host;  // of TCP: a name for it beside localhost
  std::string token;        // of TCP: what opens it; never empty
};

// Sets the limits of one request.
void Limit(HttpParser& parser, const AdminOptions& options);

// Asked once the header is whole, before any of the body is parsed: why the
// rest is not to be read; nothing if it is. Chunked bodies are refused: Beast
// (Boost 1.81) aborts the process over a last chunk that arrives in pieces.
std::optional<AdminResponse> RefuseBody(const HttpParser& parser);

// The request, checked; or why there is none.
std::variant<AdminRequest, AdminResponse> ReadAdminRequest(
    const HttpRequest& request, const AdminDoor& door);

// True if `header` is "Bearer TOKEN". Takes as long whatever is wrong with it.
// Requires: a token that is not empty.
bool BearsToken(std::string_view header, std::string_view token);

// What to say to bytes that the parser refused with `error`; true of an error
// of HTTP, not of the connection.
bool IsMalformed(const boost::beast::error_code& error);
AdminResponse Malformed(const boost::beast::error_code& error,
                        const AdminOptions& options);

}  // namespace hearsay::daemon
