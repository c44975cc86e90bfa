// doctor: what is wrong here, and what to do about it.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "ops/cli/client.h"
#include "ops/cli/doctor.h"
#include "ops/cli/table.h"
#include "ops/cli/verbs.h"
#include "transport/ucx_environment.h"

namespace hearsay::ops {
namespace {

using Level = Finding::Level;

constexpr const char* kDoctorFooter =
    "Looks at this machine: UCX, the environment, the processor, OpenBLAS, "
    "huge pages, limits\nand the clock; with --config or --dir at "
    "configurations and certificates; with --dir or\n--addr at running nodes: "
    "the lane and the rate of each edge, and what went wrong last.\n"
    "Exit code 0: all is fine; 3: something could be better;\n1: something is "
    "broken. `hearsay bench transport` measures what the machine can do.";

const char* Word(Level level) {
  switch (level) {
    case Level::kFine:
      return "fine";
    case Level::kImprove:
      return "improve";
    case Level::kBroken:
      return "broken";
  }
  return "";
}

Findings LinksOf(const NodeAddress& node, const Json& links) {
  Findings findings;
  const std::string self = Cell(At(links, "self"));
  for (const auto& link : At(links, "links")) {
    if (At(link, "direction") != "out") continue;
    const auto& failed = At(link, "failed");
    const auto& ok = At(link, "ok");
    const std::string name =
        fmt::format("link {} -> {}", self, Cell(At(link, "peer")));
    const std::string found = fmt::format(
        "{}, {}, round trip {}, {} exchanges, {} failed",
        Cell(At(link, "transport")), RateCell(At(link, "bytes_per_second")),
        SecondsCell(At(link, "round_trip_seconds")), Cell(ok), Cell(failed));
    const bool bad = failed.is_number() && ok.is_number() &&
                     failed.get<double>() > 0.1 * ok.get<double>();
    findings.push_back({bad ? Level::kImprove : Level::kFine, name, found,
                        bad ? "see `hearsay events` of " + node.label() +
                                  " for why exchanges fail"
                            : ""});
  }
  return findings;
}

Findings MembersOf(const NodeAddress& node, const Json& members) {
  Findings findings;
  for (const auto& member : At(members, "members")) {
    const auto& state = At(member, "state");
    const auto& error = At(member, "last_error");
    const bool gone = state == "failed" || state == "refused";
    if (!gone && !(error.is_string() && !error.get<std::string>().empty()))
      continue;
    findings.push_back(
        {gone ? Level::kImprove : Level::kFine,
         fmt::format("member {}", Cell(At(member, "name"))),
         fmt::format("{} as {} sees it; last error: {}", Cell(state),
                     node.label(), Cell(error)),
         gone ? "start it, correct its address, or `hearsay events` for more"
              : ""});
  }
  return findings;
}

struct DoctorFlags {
  Where where;
  std::string config;
};

void Doctor(const DoctorFlags& flags) {
  const Where& where = flags.where;
  transport::PrepareUcxEnvironment();
  Findings findings = CheckMachine(ThisMachine());
  const auto add = [&](const Findings& more) {
    findings.insert(findings.end(), more.begin(), more.end());
  };
  const auto now = transport::tls::WallNow();
  if (!flags.config.empty()) add(CheckConfig(flags.config, now));
  if (!where.dir.empty())
    for (const auto& node : ReadLocalCluster(where.dir).nodes)
      add(CheckConfig(node.config, now));
  if (!where.address.empty() || !where.dir.empty()) add(CheckNodes(where));
  if (where.json())
    Print(ToJson(findings));
  else
    std::fputs(Render(findings).c_str(), stdout);
  switch (WorstOf(findings)) {
    case Level::kFine:
      return;
    case Level::kImprove:
      throw Exit(kDegraded, "");
    case Level::kBroken:
      throw Exit(kError, "");
  }
}

}  // namespace

Findings CheckNodes(const Where& where) {
  Findings findings;
  for (const auto& node : Resolve(where)) {
    const auto add = [&](const Findings& some) {
      findings.insert(findings.end(), some.begin(), some.end());
    };
    try {
      add(LinksOf(node, AskJson(node, "GET", "/v1/links")));
      add(MembersOf(node, AskJson(node, "GET", "/v1/members")));
    } catch (const Exit& error) {
      findings.push_back({Level::kBroken, "node " + node.label(), error.what(),
                          "start it, or look at the end of its log"});
    }
  }
  return findings;
}

Level WorstOf(const Findings& findings) {
  Level worst = Level::kFine;
  for (const auto& finding : findings) worst = std::max(worst, finding.level);
  return worst;
}

Json ToJson(const Findings& findings) {
  Json list = Json::array();
  for (const auto& finding : findings)
    list.push_back(
        {{"check", finding.check},
         {"level", Word(finding.level)},
         {"found", finding.found},
         {"advice", finding.advice.empty() ? Json() : Json(finding.advice)}});
  return {
      {"schema", 1}, {"verdict", Word(WorstOf(findings))}, {"findings", list}};
}

std::string Render(const Findings& findings) {
  Table table({{"CHECK"}, {"VERDICT"}, {"FOUND"}});
  std::string advice;
  for (const auto& finding : findings) {
    table.Add({finding.check, Word(finding.level), finding.found});
    if (finding.level != Level::kFine)
      advice += fmt::format("! {}: {}\n", finding.check, finding.advice);
  }
  return table.Text() + advice;
}

void AddDoctorVerb(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "doctor", "What is wrong with this machine, or with running nodes");
  const auto flags = std::make_shared<DoctorFlags>();
  AddWhere(*verb, flags->where);
  verb->add_option("--config", flags->config,
                   "A node's hearsayd.toml: it and its certificate");
  verb->footer(kDoctorFooter);
  verb->callback([flags] { Doctor(*flags); });
}

}  // namespace hearsay::ops
