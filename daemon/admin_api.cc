#include "daemon/admin_api.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/edges.h"
#include "daemon/metrics.h"
#include "daemon/node.h"
#include "transport/address.h"

namespace hearsay::daemon {

namespace {

using Json = nlohmann::ordered_json;

// A larger model is read from a checkpoint: encoding it here would keep the
// network thread from its heartbeats.
constexpr std::size_t kLargestServedModel = std::size_t{16} << 20;

AdminResponse Ok(const Json& json) { return {.body = json.dump()}; }

AdminResponse Text(std::string text) {
  return {.content_type = "text/plain; charset=utf-8", .body = std::move(text)};
}

AdminResponse Health(const Node& node) {
  const auto summary = Summarise(node.View());
  AdminResponse response =
      Ok({{"schema", 1},
          {"status", summary.health == "healthy" ? "ok" : summary.health},
          {"reasons", summary.reasons}});
  if (summary.health == "unhealthy") response.status = 503;
  return response;
}

AdminResponse Ready(const Node& node) {
  const bool ready = !node.joining();
  AdminResponse response =
      Ok({{"schema", 1}, {"ready", ready}, {"state", node.state()}});
  if (!ready) response.status = 503;
  return response;
}

AdminResponse Links(const Node& node) {
  Json links = Json::array();
  for (const auto& link : node.SelfReport().links) {
    const auto counters = node.transport().counters(link.peer);
    const auto& exchanges = node.exchange().counters().at(link.peer);
    links.push_back({{"peer", link.peer},
                     {"direction", link.direction},
                     {"transport", link.transport},
                     {"ok", link.ok},
                     {"failed", link.failed},
                     {"one_sided", link.one_sided},
                     {"round_trip_seconds", link.round_trip_seconds},
                     {"bytes_per_second", link.bytes_per_second},
                     {"dropped", DroppedJson(counters, exchanges)}});
  }
  Json edges = Json::array();
  for (const auto& edge : node.Edges())
    edges.push_back(
        EdgeJson(edge, node.config().node.name, transport::Clock::now()));
  const auto strangers = node.transport().counters("");
  return Ok(
      {{"schema", 1},
       {"self", node.config().node.name},
       {"interval_seconds",
        std::chrono::duration<double>(node.exchange().Interval()).count()},
       {"edges", edges},
       {"links", links},
       // What came from nobody that is known.
       {"strangers", {{"dropped", DroppedJson(strangers, {})}}}});
}

AdminResponse Privacy(const Node& node) {
  const auto report = node.SelfReport();
  Json json = {{"schema", 1}, {"node", node.config().node.name}};
  if (node.run().budget) {
    const auto status = node.run().budget->status();
    const auto& terms = status.terms;
    json["epsilon"] =
        std::isfinite(status.epsilon) ? Json(status.epsilon) : Json(nullptr);
    json["target_epsilon"] =
        terms.target_epsilon ? Json(*terms.target_epsilon) : Json(nullptr);
    json["delta"] = terms.delta;
    json["accountant"] = dp::Word(status.accountant);
    json["adjacency"] = "add-or-remove one record";
    json["sample_rate"] = terms.sample_rate;
    json["noise_multiplier"] = terms.noise_multiplier;
    json["clip_norm"] = node.run().private_gradient->clip_norm();
    json["steps_charged"] = status.steps_charged;
    json["steps_left"] = report.steps_left;
    json["ledger"] = {{"path", node.config().privacy.ledger.string()},
                      {"sequence", status.position.sequence},
                      {"hash", status.position.hash}};
  }
  json["valid"] = report.privacy_valid;
  json["reasons"] =
      report.privacy_valid ? std::vector<std::string>{} : report.reasons;
  return Ok(json);
}

AdminResponse EventsAfter(Node& node, const AdminRequest& request) {
  std::uint64_t after = 0;
  if (const auto found = request.query.find("after");
      found != request.query.end()) {
    const auto& text = found->second;
    const auto* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, after);
    if (error != std::errc() || stop != end)
      return AdminError(400, "after must be a sequence number");
  }
  Json events = Json::array();
  std::uint64_t next = after;
  for (const auto& event : node.events().After(after)) {
    const auto ms =
        std::chrono::time_point_cast<std::chrono::milliseconds>(event.time);
    events.push_back(
        {{"sequence", event.sequence},
         {"time",
          fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                      fmt::gmtime(std::chrono::system_clock::to_time_t(ms)),
                      ms.time_since_epoch().count() % 1000)},
         {"level", Word(event.level)},
         {"kind", event.kind},
         {"text", event.text}});
    next = event.sequence;
  }
  return Ok({{"schema", 1}, {"events", events}, {"next", next}});
}

std::string QueryOf(const AdminRequest& request, const std::string& key) {
  const auto found = request.query.find(key);
  return found == request.query.end() ? "" : found->second;
}

AdminResponse Done() { return Ok({{"schema", 1}, {"ok", true}}); }

AdminResponse Join(Node& node, const AdminRequest& request) {
  const auto address = QueryOf(request, "address");
  const auto parsed = transport::ParseHostPort(address);
  if (!parsed || parsed->port == 0)
    return AdminError(400, "address must be HOST:PORT");
  if (!node.Join(address))
    return AdminError(409, "there are too many seeds already");
  return Done();
}

AdminResponse ForceLeave(Node& node, const AdminRequest& request) {
  const auto name = QueryOf(request, "node");
  if (name.empty()) return AdminError(400, "node must be a member's name");
  switch (node.ForceLeave(name)) {
    case transport::ForceLeaveOutcome::kDone:
      return Done();
    case transport::ForceLeaveOutcome::kUnknown:
      return AdminError(404, fmt::format("{} is unknown here; `hearsay "
                                         "members` lists those that are known",
                                         name));
    case transport::ForceLeaveOutcome::kAlive:
      break;
  }
  return AdminError(409, fmt::format("{} is alive; `hearsay stop` makes a node "
                                     "leave by itself",
                                     name));
}

AdminResponse PrivateNumbers(const Node& node, const AdminRequest& request) {
  const auto door = OwnersDoor::Of(request);
  if (!door)
    return AdminError(403,
                      "private numbers are served on the unix socket only");
  if (node.run().private_gradient == nullptr)
    return AdminError(404, "this node trains on a probe: nothing is private");
  const auto view = node.run().private_gradient->view();
  return Ok({{"schema", 1},
             {"train_loss", door->Open(view.train_loss)},
             {"clip_fraction", door->Open(view.clip_fraction)},
             {"realised_batch_size", door->Open(view.realised_batch_size)},
             {"rejected_examples", door->Open(view.rejected)},
             {"shard_rows", node.run().train->rows()}});
}

AdminResponse Weights(const Node& node) {
  if (node.run().weights->size() > kLargestServedModel)
    return AdminError(413,
                      "the model is too large to serve here; use POST "
                      "/v1/checkpoint and read the file");
  return {.content_type = "application/octet-stream",
          .body = node.EncodeWeights()};
}

AdminResponse Propose(Node& node) {
  // A round takes a while: `last_round` says what came of it.
  node.resync().Propose([](const auto&) {});
  return Done();
}

using Serve = std::function<AdminResponse(Node&, const AdminRequest&)>;

const std::map<std::string, Serve>& Gets() {
  static const std::map<std::string, Serve> kGets = {
      {"/livez",
       [](Node&, const auto&) {
         return Ok({{"schema", 1}, {"live", true}});
       }},
      {"/readyz", [](Node& node, const auto&) { return Ready(node); }},
      {"/healthz", [](Node& node, const auto&) { return Health(node); }},
      {"/metrics",
       [](Node& node, const AdminRequest& request) {
         return Text(Metrics(node, OwnersDoor::Of(request)));
       }},
      {"/v1/status",
       [](Node& node, const auto&) {
         return AdminResponse{.body = StatusJson(node.View(), node.profile())};
       }},
      {"/v1/members",
       [](Node& node, const auto&) {
         return AdminResponse{.body = MembersJson(node.View(), node.profile())};
       }},
      {"/v1/links", [](Node& node, const auto&) { return Links(node); }},
      {"/v1/privacy", [](Node& node, const auto&) { return Privacy(node); }},
      {"/v1/events", EventsAfter},
      {"/v1/private",
       [](Node& node, const auto& r) { return PrivateNumbers(node, r); }},
      {"/v1/weights", [](Node& node, const auto&) { return Weights(node); }},
  };
  return kGets;
}

template <typename Act>
Serve Doing(Act act) {
  return [act](Node& node, const AdminRequest&) {
    act(node);
    return Done();
  };
}

const std::map<std::string, Serve>& Acts() {
  static const std::map<std::string, Serve> kActs = {
      {"/v1/stop", Doing([](Node& node) { node.Stop(); })},
      {"/v1/pause", Doing([](Node& node) { node.trainer().Pause(); })},
      {"/v1/resume", Doing([](Node& node) { node.trainer().Resume(); })},
      {"/v1/drain", Doing([](Node& node) { node.Drain(); })},
      {"/v1/checkpoint", Doing([](Node& node) { node.WriteCheckpoint(); })},
      {"/v1/resync", [](Node& node, const auto&) { return Propose(node); }},
      {"/v1/join", Join},
      {"/v1/force-leave", ForceLeave},
  };
  return kActs;
}

}  // namespace

AdminResponse ServeAdmin(Node& node, const AdminRequest& request) {
  const auto get = Gets().find(request.path);
  const auto act = Acts().find(request.path);
  if (request.method == "GET" && get != Gets().end())
    return get->second(node, request);
  if (request.method == "POST" && act != Acts().end())
    return act->second(node, request);
  if (get != Gets().end() || act != Acts().end())
    return AdminError(405, fmt::format("{} takes {}", request.path,
                                       act != Acts().end() ? "POST" : "GET"));
  return AdminError(404, "there is no " + request.path);
}

}  // namespace hearsay::daemon
