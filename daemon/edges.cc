#include "daemon/edges.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "daemon/cluster_view.h"

namespace hearsay::daemon {

using Json = nlohmann::ordered_json;
using transport::EdgeState;

namespace {

double Seconds(Cooldown::Time::duration time) {
  return std::max(0.0, std::chrono::duration<double>(time).count());
}

Json OrNull(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

Json AsideJson(const std::optional<Cooldown::Aside>& aside,
               Cooldown::Time now) {
  if (!aside) return nullptr;
  return {{"reason", aside->reason},
          {"times", aside->times},
          {"since_seconds", Seconds(now - aside->since)},
          {"left_seconds", Seconds(aside->until - now)}};
}

}  // namespace

const char* Word(EdgeState state) {
  switch (state) {
    case EdgeState::kNone:
      return "none";
    case EdgeState::kConnected:
      return "connected";
    case EdgeState::kSilent:
      return "silent";
    case EdgeState::kBroken:
      return "broken";
  }
  return "";
}

Json DroppedJson(const transport::LinkCounters& pieces,
                 const ExchangeCounters& exchanges) {
  Json dropped = Json::object();
  for (const auto& [reason, count] : pieces.dropped()) dropped[reason] = count;
  dropped["not_finite"] = exchanges.not_finite;
  dropped["beyond_clip"] = exchanges.beyond_clip;
  dropped["stale_array"] = exchanges.stale;
  dropped["untrusted"] = exchanges.untrusted;
  return dropped;
}

std::vector<std::string> NewOffences(const transport::LinkCounters& before,
                                     const transport::LinkCounters& now) {
  std::vector<std::string> offences;
  const auto add = [&](const char* reason, auto counter) {
    if (now.*counter > before.*counter) offences.emplace_back(reason);
  };
  using Counters = transport::LinkCounters;
  add("altered", &Counters::dropped_checksum);
  add("wrong size", &Counters::dropped_size);
  add("forged", &Counters::dropped_forged);
  add("replayed", &Counters::dropped_replayed);
  add("not sealed", &Counters::dropped_unsealed);
  return offences;
}

Json EdgeJson(const Edge& edge, const std::string& self, Cooldown::Time now) {
  const auto& member = edge.member;
  return {{"peer", member.node},
          {"address", member.address},
          {"state", Word(member.edge)},
          {"since_seconds", Seconds(now - member.edge_since)},
          {"said_by", self},
          {"last_error", OrNull(member.last_error)},
          {"transport", OrNull(member.lane)},
          {"member",
           {{"state", Word(member.state)},
            {"since_seconds", Seconds(now - member.since)},
            {"said_by", OrNull(member.said_by)}}},
          {"quarantine", AsideJson(edge.quarantine, now)},
          {"quarantines", edge.quarantines},
          {"bypass", AsideJson(edge.bypass, now)},
          {"dropped", DroppedJson(edge.pieces, edge.exchanges)}};
}

}  // namespace hearsay::daemon
