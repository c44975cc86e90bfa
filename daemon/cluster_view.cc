#include "daemon/cluster_view.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "daemon/edges.h"

namespace hearsay::daemon {

using Json = nlohmann::ordered_json;
using transport::EdgeState;
using transport::MemberState;

namespace {

bool Alive(const KnownNode& node) { return node.member == MemberState::kAlive; }

// What it reports is of now.
bool Heard(const KnownNode& node) {
  return Alive(node) && node.edge == EdgeState::kConnected;
}

// JSON has no infinity: null.
Json Finite(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

void SummariseConsensus(const ClusterView& view, ClusterSummary& summary) {
  std::vector<mixing::Sketch> sketches;
  std::vector<std::string> names;
  for (const auto& node : view.nodes) {
    if (!Heard(node) || !node.report || !node.report->sketch) continue;
    sketches.push_back(*node.report->sketch);
    names.push_back(node.name);
  }
  summary.consensus = mixing::ConsensusOf(sketches);
  if (!summary.consensus) return;
  for (std::size_t i = 0; i < names.size(); ++i)
    summary.distance[names[i]] = summary.consensus->of_each[i];
}

// How much a node's data counts in the optimum: every gradient counts once, so
// it is the node's step rate over the mean rate (mixing.md 3).
void SummariseWeights(const ClusterView& view, ClusterSummary& summary) {
  double sum = 0;
  int training = 0;
  for (const auto& node : view.nodes) {
    if (!Heard(node) || !node.report || node.report->state != "training")
      continue;
    sum += node.report->steps_per_second;
    ++training;
  }
  for (const auto& node : view.nodes) {
    if (!Heard(node) || !node.report) continue;
    const bool counts = node.report->state == "training" && sum > 0;
    summary.effective_weight[node.name] =
        counts ? node.report->steps_per_second * training / sum : 0;
  }
}

Json StateOf(const KnownNode& node) {
  if (!Alive(node)) return Word(node.member);
  return node.report ? node.report->state : "starting";
}

Json LinksJson(const NodeReport& report) {
  Json links = Json::array();
  for (const auto& link : report.links)
    links.push_back({{"peer", link.peer},
                     {"direction", link.direction},
                     {"transport", link.transport},
                     {"ok", link.ok},
                     {"failed", link.failed},
                     {"one_sided", link.one_sided},
                     {"round_trip_seconds", link.round_trip_seconds},
                     {"bytes_per_second", link.bytes_per_second}});
  return links;
}

Json NodeJson(const KnownNode& node, const ClusterSummary& summary) {
  Json json = {{"name", node.name}, {"state", StateOf(node)}};
  const NodeReport report = node.report.value_or(NodeReport{});
  json["step"] = report.step;
  json["steps_per_second"] = Heard(node) ? report.steps_per_second : 0.0;
  const auto weight = summary.effective_weight.find(node.name);
  json["effective_weight"] = weight != summary.effective_weight.end()
                                 ? Json(weight->second)
                                 : Json(nullptr);
  json["eval"] = report.eval_loss
                     ? Json{{"loss", *report.eval_loss},
                            {"accuracy", OrNull(report.eval_accuracy)}}
                     : Json(nullptr);
  json["loss_noised"] = OrNull(report.noised_loss);
  json["privacy"] = {{"epsilon", Finite(report.epsilon)},
                     {"target_epsilon", OrNull(report.target_epsilon)},
                     {"delta", report.delta},
                     {"accountant", report.accountant},
                     {"steps_left", report.steps_left},
                     {"valid", report.privacy_valid}};
  const auto distance = summary.distance.find(node.name);
  json["consensus_distance"] = distance != summary.distance.end()
                                   ? Json(distance->second)
                                   : Json(nullptr);
  json["links"] = LinksJson(report);
  json["edge"] = Word(node.edge);
  json["said_by"] = node.said_by.empty() ? Json(nullptr) : Json(node.said_by);
  json["age_seconds"] = OrNull(node.age_seconds);
  json["error"] = node.error.empty() ? Json(nullptr) : Json(node.error);
  return json;
}

Json TimingJson(const Profile& profile) {
  const auto& t = profile.timing;
  return {{"profile", profile.name},
          {"heartbeat_ms", t.heartbeat.count()},
          {"silent_after_ms", t.silent_after.count()},
          {"give_up_ms", t.give_up.count()},
          {"probe_interval_ms", t.swim.probe_interval.count()},
          {"probe_timeout_ms", t.swim.probe_timeout.count()},
          {"indirect_probes", t.swim.indirect_probes},
          {"suspicion_multiplier", t.swim.suspicion_multiplier},
          {"suspicion_max_multiplier", t.swim.suspicion_max_multiplier},
          {"handshake_ms", t.handshake.count()},
          {"retry_min_ms", t.retry_min.count()},
          {"retry_max_ms", t.retry_max.count()},
          {"exchange_deadline_ms", profile.exchange_deadline.count()}};
}

}  // namespace

const char* Word(MemberState state) {
  switch (state) {
    case MemberState::kAlive:
      return "alive";
    case MemberState::kSuspect:
      return "suspect";
    case MemberState::kFailed:
      return "failed";
    case MemberState::kLeft:
      return "left";
    case MemberState::kRefused:
      return "refused";
  }
  return "";
}

ClusterSummary Summarise(const ClusterView& view) {
  ClusterSummary summary;
  summary.health = "healthy";
  for (const auto& node : view.nodes) {
    if (node.member == MemberState::kLeft) continue;
    ++summary.total;
    if (Alive(node)) {
      ++summary.alive;
    } else {
      summary.health = "degraded";
      summary.reasons.push_back(fmt::format(
          "{} is {}{}", node.name.empty() ? node.address : node.name,
          Word(node.member), node.error.empty() ? "" : ": " + node.error));
    }
    if (Alive(node) &&
        (node.edge == EdgeState::kBroken || node.edge == EdgeState::kSilent)) {
      summary.health = "degraded";
      summary.reasons.push_back(fmt::format(
          "{} is alive, but the edge to it is {}{}", node.name, Word(node.edge),
          node.error.empty() ? "" : ": " + node.error));
    }
    if (node.report && Heard(node) && node.report->health != "healthy") {
      summary.health = "degraded";
      for (const auto& reason : node.report->reasons)
        summary.reasons.push_back(node.name + ": " + reason);
    }
  }
  for (const auto& node : view.nodes)
    if (node.name == view.self && node.report &&
        node.report->health == "unhealthy")
      summary.health = "unhealthy";
  SummariseConsensus(view, summary);
  SummariseWeights(view, summary);
  return summary;
}

Json ResyncJson(const ResyncView& resync) {
  Json last = nullptr;
  if (resync.last)
    last = {{"name", resync.last->name},
            {"members", resync.last->members},
            {"ok", resync.last->error.empty()},
            {"error", resync.last->error.empty() ? Json(nullptr)
                                                 : Json(resync.last->error)},
            {"seconds", resync.last->seconds}};
  return {{"every_steps", resync.every_steps},
          {"ok", resync.ok},
          {"failed", resync.failed},
          {"last_round", last}};
}

Json MomentumJson(const std::optional<double>& eta) {
  return eta ? Json{{"kind", "acid"}, {"eta", *eta}} : Json(nullptr);
}

std::string StatusJson(const ClusterView& view, const Profile& profile) {
  const auto summary = Summarise(view);
  Json consensus = {{"relative_distance", nullptr}, {"state", "unknown"}};
  if (summary.consensus) {
    const double distance = summary.consensus->relative_distance;
    consensus = {{"relative_distance", distance},
                 {"state", distance <= kAgreedDistance ? "agreed" : "mixing"}};
  }
  Json document = {{"schema", 1},
                   {"self", view.self},
                   {"cluster",
                    {{"name", view.cluster},
                     {"health", summary.health},
                     {"reasons", summary.reasons},
                     {"members_alive", summary.alive},
                     {"members_total", summary.total},
                     {"topology", view.topology},
                     {"rule", view.rule},
                     {"momentum", MomentumJson(view.momentum_eta)},
                     {"consensus", consensus},
                     {"resync", ResyncJson(view.resync)}}},
                   {"timing", TimingJson(profile)},
                   {"nodes", Json::array()}};
  for (const auto& node : view.nodes)
    if (!node.name.empty())
      document["nodes"].push_back(NodeJson(node, summary));
  return document.dump();
}

std::string MembersJson(const ClusterView& view, const Profile& profile) {
  Json members = Json::array();
  for (const auto& node : view.nodes)
    members.push_back(
        {{"name", node.name},
         {"address", node.address},
         {"state", Word(node.member)},
         {"said_by", node.said_by.empty() ? Json(nullptr) : Json(node.said_by)},
         {"incarnation", node.incarnation},
         {"since_seconds", node.since_seconds},
         {"edge", Word(node.edge)},
         {"edge_since_seconds", node.edge_since_seconds},
         {"heard_seconds", OrNull(node.age_seconds)},
         {"last_error",
          node.error.empty() ? Json(nullptr) : Json(node.error)}});
  return Json{{"schema", 1},
              {"self", view.self},
              {"members", members},
              {"timing", TimingJson(profile)}}
      .dump();
}

}  // namespace hearsay::daemon
