// The edges of this node as an operator sees them (/v1/links): each with its
// state, the last error, since when and who says so; what was dropped, by
// reason; and why and for how long its peer is set aside. Pure functions.
//
// Egress: public, every field.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "daemon/cooldown.h"
#include "daemon/exchange_record.h"
#include "transport/transport.h"

namespace hearsay::daemon {

struct Edge {
  transport::Member member;
  transport::LinkCounters pieces;
  ExchangeCounters exchanges;
  std::optional<Cooldown::Aside> quarantine;
  std::uint64_t quarantines = 0;  // so far
  std::optional<Cooldown::Aside> bypass;
};

// connected | silent | broken | none
const char* Word(transport::EdgeState state);

// By reason; of pieces and of whole arrays.
nlohmann::ordered_json DroppedJson(const transport::LinkCounters& pieces,
                                   const ExchangeCounters& exchanges);

// What a member has done since `before` that no friend does, one word each: its
// pieces carry the member's own token, which no stranger knows. What is late,
// or of an earlier key, is none: a slow wire or a new session makes those.
std::vector<std::string> NewOffences(const transport::LinkCounters& before,
                                     const transport::LinkCounters& now);

// `self`: whose word the edge's state is.
nlohmann::ordered_json EdgeJson(const Edge& edge, const std::string& self,
                                Cooldown::Time now);

}  // namespace hearsay::daemon
