// The HTTP door: any bytes, in any pieces, end as a request within the limits
// that the door allows, or as an answer that says why not.
#include <boost/asio/buffer.hpp>
#include <nlohmann/json.hpp>

#include "daemon/admin_request.h"
#include "tests/fuzz/fuzz.h"

namespace hearsay::daemon {
namespace {

using fuzz::Check;

const std::string kToken = "0123456789abcdef";
const AdminOptions kOptions{.listen = "10.1.2.3:80",
                            .unix_socket = {},
                            .token = kToken,
                            .header_bytes = 512,
                            .body_bytes = 256};

void CheckError(const AdminResponse& answer) {
  Check(answer.status >= 400 && answer.status < 500);
  const auto json = nlohmann::json::parse(answer.body, nullptr, false);
  Check(json.is_object() && json["error"].is_string());
}

// Web pages can make a browser send this Host, except under these names.
bool IsOwnName(std::string host) {
  for (char& c : host)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  for (const std::string_view own :
       {"localhost", "127.0.0.1", "[::1]", "10.1.2.3"})
    if (host.starts_with(own)) {
      host.erase(0, own.size());
      return host.empty() ||
             (host[0] == ':' &&
              std::all_of(host.begin() + 1, host.end(),
                          [](char c) { return c >= '0' && c <= '9'; }));
    }
  return false;
}

void CheckRequest(const HttpRequest& request, const AdminDoor& door) {
  const auto asked = ReadAdminRequest(request, door);
  if (const auto* refusal = std::get_if<AdminResponse>(&asked))
    return CheckError(*refusal);
  const auto& admin = std::get<AdminRequest>(asked);
  Check(admin.local == door.local);
  Check(admin.method == "GET" || admin.method == "POST");
  Check(door.local || admin.path == "/livez" ||
        request["Authorization"] == "Bearer " + kToken);
  Check(admin.path.starts_with("/"));
  Check(admin.body.size() <= kOptions.body_bytes);
  Check(door.local || IsOwnName(std::string(request["Host"])));
  std::size_t query_bytes = 0;
  for (const auto& [key, value] : admin.query)
    query_bytes += key.size() + value.size();
  Check(admin.path.size() + query_bytes <= request.target().size());
}

// As the server feeds it: what the parser leaves is offered again with more.
void Serve(std::string_view stream, fuzz::Input cuts, const AdminDoor& door) {
  HttpParser parser;
  Limit(parser, kOptions);
  std::string buffer;
  bool header = false;
  while (!parser.is_done()) {
    if (stream.empty()) return;
    const auto piece =
        stream.substr(0, cuts.empty() ? stream.size() : 1 + cuts.Take() % 97);
    buffer += piece;
    stream.remove_prefix(piece.size());
    boost::beast::error_code error;
    while (!error && !buffer.empty() && !parser.is_done()) {
      buffer.erase(0, parser.put(boost::asio::buffer(buffer), error));
      if (header || !parser.is_header_done()) continue;
      header = true;
      if (const auto refusal = RefuseBody(parser)) return CheckError(*refusal);
    }
    if (error && error != boost::beast::http::error::need_more) {
      Check(IsMalformed(error));
      return CheckError(Malformed(error, kOptions));
    }
  }
  CheckRequest(parser.get(), door);
}

}  // namespace
}  // namespace hearsay::daemon

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace hearsay::daemon;  // NOLINT(google-build-using-namespace)
  hearsay::fuzz::Input input(data, size);
  const AdminDoor door{.local = input.Take() % 2 == 0,
                       .listen_host = "10.1.2.3",
                       .token = kToken};
  const auto cuts = input.Bytes(input.Take() % 8);
  Serve(input.Rest(), {cuts.data(), cuts.size()}, door);
  return 0;
}
