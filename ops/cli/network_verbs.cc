// The verbs about the network as one node sees it: who is there, the edges to
// them, and an operator's word about both.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "ops/cli/client.h"
#include "ops/cli/status.h"
#include "ops/cli/table.h"
#include "ops/cli/verbs.h"
#include "transport/address.h"

namespace hearsay::ops {
namespace {

void Members(const Where& where) {
  const Json json = AskAny(where, "GET", "/v1/members");
  if (where.json()) return Print(json);
  Table table({{"MEMBER"},
               {"ADDRESS"},
               {"STATE"},
               {"SINCE", Align::kRight},
               {"SAYS"},
               {"EDGE"},
               {"SINCE", Align::kRight},
               {"HEARD", Align::kRight},
               {"LAST ERROR"}});
  for (const auto& member : At(json, "members")) {
    const bool self = At(member, "name") == At(json, "self");
    table.Add(
        {Cell(At(member, "name")), Cell(At(member, "address")),
         Cell(At(member, "state")), SecondsCell(At(member, "since_seconds")),
         Cell(At(member, "said_by")), self ? "self" : Cell(At(member, "edge")),
         self ? "-" : SecondsCell(At(member, "edge_since_seconds")),
         self ? "-" : SecondsCell(At(member, "heard_seconds")),
         Cell(At(member, "last_error"))});
  }
  Print(table);
  std::fputs(TimingLines(json).c_str(), stdout);
}

std::string DroppedCell(const Json& dropped) {
  std::string cell;
  for (const auto& [why, count] : dropped.items())
    if (count.is_number() && count > 0)
      cell +=
          fmt::format("{}{} {}", cell.empty() ? "" : ", ", count.dump(), why);
  return cell.empty() ? "-" : cell;
}

// "quarantined 8.2 s more (time 2): not_finite"
std::string AsideCell(const Json& edge) {
  for (const auto& [key, word] :
       {std::pair{"quarantine", "quarantined"}, {"bypass", "bypassed"}}) {
    const Json& aside = At(edge, key);
    if (aside.is_object())
      return fmt::format("{} {} more (time {}): {}", word,
                         SecondsCell(At(aside, "left_seconds")),
                         Cell(At(aside, "times")), Cell(At(aside, "reason")));
  }
  return "-";
}

void PrintEdges(const Json& json) {
  Table table({{"PEER"},
               {"EDGE"},
               {"SINCE", Align::kRight},
               {"SAYS"},
               {"MEMBER"},
               {"SAYS"},
               {"ASIDE"},
               {"DROPPED"},
               {"LAST ERROR"}});
  for (const auto& edge : At(json, "edges")) {
    const Json& member = At(edge, "member");
    const bool named = At(edge, "peer") != "";
    table.Add({Cell(At(edge, named ? "peer" : "address")),
               Cell(At(edge, "state")), SecondsCell(At(edge, "since_seconds")),
               Cell(At(edge, "said_by")), Cell(At(member, "state")),
               Cell(At(member, "said_by")), AsideCell(edge),
               DroppedCell(At(edge, "dropped")), Cell(At(edge, "last_error"))});
  }
  Print(table);
  const std::string strangers =
      DroppedCell(At(At(json, "strangers"), "dropped"));
  if (strangers != "-") fmt::print("from nobody known: {}\n", strangers);
}

void PrintExchanges(const Json& json) {
  Table table({{"PEER"},
               {"DIRECTION"},
               {"TRANSPORT"},
               {"OK", Align::kRight},
               {"FAILED", Align::kRight},
               {"ONE-SIDED", Align::kRight},
               {"ROUND TRIP", Align::kRight},
               {"RATE", Align::kRight},
               {"DROPPED"}});
  for (const auto& link : At(json, "links")) {
    const bool out = At(link, "direction") == "out";
    table.Add({Cell(At(link, "peer")), Cell(At(link, "direction")),
               Cell(At(link, "transport")), Cell(At(link, "ok")),
               Cell(At(link, "failed")), Cell(At(link, "one_sided")),
               out ? SecondsCell(At(link, "round_trip_seconds")) : "-",
               RateCell(At(link, "bytes_per_second")),
               DroppedCell(At(link, "dropped"))});
  }
  Print(table);
}

void Links(const Where& where) {
  const Json json = AskAny(where, "GET", "/v1/links");
  if (where.json()) return Print(json);
  if (!At(json, "edges").empty()) {
    PrintEdges(json);
    std::puts("");
  }
  PrintExchanges(json);
}

// For a query: everything but letters, digits and a few marks as %XX.
std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.')
      escaped += c;
    else
      escaped += fmt::format("%{:02X}", byte);
  }
  return escaped;
}

// An order to one node, which tells the others.
void Order(const Where& where, const std::string& action,
           const std::string& query, const std::string& done) {
  const Json json =
      AskAny(where, "POST", fmt::format("/v1/{}?{}", action, query));
  if (where.json())
    Print(json);
  else
    fmt::print("{}\n", done);
}

void CheckHostPort(const std::string& address) {
  const auto parsed = transport::ParseHostPort(address);
  if (!parsed || parsed->port == 0)
    throw Exit(kUsage,
               fmt::format("'{}' is not HOST:PORT, as in 10.0.0.7:7400 or "
                           "[::1]:7400",
                           address));
}

CLI::App* AddVerb(CLI::App& app, const std::string& name,
                  const std::string& help,
                  const std::shared_ptr<Where>& where) {
  auto* verb = app.add_subcommand(name, help);
  AddWhere(*verb, *where);
  return verb;
}

}  // namespace

void AddNetworkVerbs(CLI::App& app) {
  const auto where = std::make_shared<Where>();
  AddVerb(app, "members", "Who is there, as one node sees it, and who says so",
          where)
      ->callback([where] { Members(*where); });
  AddVerb(app, "links",
          "One node's edges to its peers, and its exchanges with them", where)
      ->callback([where] { Links(*where); });

  const auto what = std::make_shared<std::string>();
  auto* join = AddVerb(app, "join",
                       "Dial one more seed, for as long as the node runs "
                       "(cluster.peers is for ever)",
                       where);
  join->add_option("address", *what, "HOST:PORT")->required();
  join->callback([where, what] {
    CheckHostPort(*what);
    Order(*where, "join", "address=" + Escaped(*what), "dialling " + *what);
  });
  auto* leave = AddVerb(app, "force-leave",
                        "Say of a member that is suspect or failed that it "
                        "will not come back",
                        where);
  leave->add_option("node", *what, "The member's name")->required();
  leave->callback([where, what] {
    Order(*where, "force-leave", "node=" + Escaped(*what), *what + " has left");
  });
}

}  // namespace hearsay::ops
